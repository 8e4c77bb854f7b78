-- A store of schema 1, as the last version that had it wrote it: one envelope of each kind, deliveries in five states.
-- Its secret is 32 bytes of 1.
BEGIN TRANSACTION;

-- Table  attempt
CREATE TABLE attempt (
  delivery   integer not null,
  n          integer not null,
  started_at integer not null,
  ended_at   integer not null,
  result     text    not null,
  code       text    not null,
  primary key (delivery, n)
) strict, without rowid;
INSERT INTO attempt VALUES(10,1,1772528400000000,1772528400000000,'parked','D904');
INSERT INTO attempt VALUES(17,1,1772528400000000,1772528400000000,'retry','D901');

-- Table  body
CREATE TABLE body (id integer primary key, key_id integer not null, data blob not null) strict;
INSERT INTO body VALUES(2,0,X'A495AA56B7D55C393B24535B6D84C89856C3A7D52B8B6503BDFC109938F035256F726967696E616C2031');
INSERT INTO body VALUES(6,0,X'FE66F79F182807803ECD1ED4208C23314B73D00C7EC61ACE376D33F282A0C7F46F726967696E616C2032');
INSERT INTO body VALUES(8,0,X'2653C651B32E578C54422FD000C0F0728F4AB69E152E9341E4C7C12550489EC67B227265736F7572636554797065223A2242756E646C65222C226964223A2232227D');
INSERT INTO body VALUES(14,0,X'DBEB88EA525F4E441B8B4176278AE2EB878CC6B376EDE736D3BAA23B8B7192D16F726967696E616C2033');
INSERT INTO body VALUES(16,0,X'A82F27059CA948A5F684E4B58AEADFB3F03B43BB444ADBABC6DC589E7EAF2C2E7B227265736F7572636554797065223A2242756E646C65222C226964223A2233227D');
INSERT INTO body VALUES(19,0,X'327DD203E4F0158616308246230DD5CE22D65607136F89D1ABFF70F7D01A34E76F726967696E616C2034');
INSERT INTO body VALUES(21,0,X'2594028E7FD8E6BC82FE10E818397F54124AEC3F4E1DBD96203E3A50E0E9B7827B227265736F7572636554797065223A2242756E646C65222C226964223A2234227D');
INSERT INTO body VALUES(24,0,X'E366BE40C078B6D4C11197C6798983799146B8EE403F9E2E7438E890722CE9B16F726967696E616C2035');
INSERT INTO body VALUES(26,0,X'6C0A1FDFBE2F4A9D2A0D980BAFFC7C3F601759160AA54C4261C09DD84AD63C437B227265736F7572636554797065223A2242756E646C65222C226964223A2235227D');
INSERT INTO body VALUES(29,0,X'8AE8B6444733A4A4FE3F8A38EC88E657BAAED646C110CE8B5EFAA0BDA23968F76F726967696E616C2037');
INSERT INTO body VALUES(31,0,X'56F978C10D889A58837525DC3CCE88D8AB713388BD8981C46586DE4099C4939B6F726967696E616C2038');

-- Table  delivery
CREATE TABLE delivery (
  id          integer primary key,
  message     integer not null,
  document    integer not null,
  destination integer not null,
  patient     integer not null,
  seq         integer not null,
  state       text    not null,
  code        text    not null default '',
  level       integer not null default 0,
  attempts    integer not null default 0,
  due_at      integer,
  deadline    integer,
  remote_id   text    not null default '',
  sent_at     integer
) strict;
INSERT INTO delivery VALUES(10,7,8,9,5,1,'parked','D904',0,1,NULL,1772532000000000,'',1772528400000000);
INSERT INTO delivery VALUES(12,7,8,11,5,1,'sending','',0,1,1772528460000000,1772532000000000,'',1772528400000000);
INSERT INTO delivery VALUES(17,15,16,9,13,1,'retry','D901',0,1,1772528460000000,1772532000000000,'',1772528400000000);
INSERT INTO delivery VALUES(18,15,16,11,13,1,'sending','',0,1,1772528460000000,1772532000000000,'',1772528400000000);
INSERT INTO delivery VALUES(22,20,21,9,1,1,'done','',2,1,NULL,1772532000000000,'r1',1772528400000000);
INSERT INTO delivery VALUES(23,20,21,11,1,1,'sending','',0,1,1772528460000000,1772532000000000,'',1772528400000000);
INSERT INTO delivery VALUES(27,25,26,9,5,2,'queued','',0,0,1772528400000000,1772532000000000,'',NULL);
INSERT INTO delivery VALUES(28,25,26,11,5,2,'queued','',0,0,1772528400000000,1772532000000000,'',NULL);
-- Triggers and indices on  delivery
CREATE UNIQUE INDEX delivery_head on delivery (patient, destination, seq) where state in ('queued', 'sending', 'unknown', 'retry', 'parked');
CREATE INDEX delivery_of on delivery (message);
CREATE INDEX delivery_open on delivery (state, deadline) where state in ('queued', 'sending', 'unknown', 'retry', 'awaiting', 'parked');

-- Table  destination
CREATE TABLE destination (id integer primary key, name text not null unique) strict;
INSERT INTO destination VALUES(9,'gp');
INSERT INTO destination VALUES(11,'acute');

-- Table  document
CREATE TABLE document (
  id         integer primary key,
  series     blob    not null,
  version    integer not null,
  message    integer not null,
  kind       text    not null,
  target     text    not null,
  bundle     text    not null,
  identifier text    not null,
  media_type text    not null,
  sha256     blob    not null,
  status     text    not null,
  replaces   integer,
  unique (series, version)
) strict;
INSERT INTO document VALUES(8,X'2C2066D80E5C53BA3F69AC93B74902C866E20ABE5B64798A92CC43CDEEBC35D8',1,7,'encounter-event','r4','transaction','urn:uuid:00000000-0000-4000-8000-000000000002','application/fhir+json',X'51F0C00A17497271BD161F5B9FA9CB6502129729C28F9A080F1A20477C66CD29','final',NULL);
INSERT INTO document VALUES(16,X'7EBD436F64B94710D817218E4B16D1020317812350628575A8D67C5855E5834B',1,15,'encounter-event','r4','transaction','urn:uuid:00000000-0000-4000-8000-000000000003','application/fhir+json',X'B1A29845300B0CFADC89E7A94E2483130A24BF2B38F3F9A8D74F2E8ADBFE0445','final',NULL);
INSERT INTO document VALUES(21,X'10AF1177EA9FCF489F227679E5A15E98685E7026275A3CB4F5CA11F6CAB0DF63',1,20,'encounter-event','r4','transaction','urn:uuid:00000000-0000-4000-8000-000000000004','application/fhir+json',X'C939A4303DC09FF580CD6D14F5F4E70BAE3EA4D5A0FBD62E989F9B1C1644D421','final',NULL);
INSERT INTO document VALUES(26,X'7AF88A86493B9F22FBD8BFD732757822098B42F341C55504ED96597D6AAA0108',1,25,'encounter-event','r4','transaction','urn:uuid:00000000-0000-4000-8000-000000000005','application/fhir+json',X'4D987690317C6CB391FE723B46C3DCC0005E2A1D8931B487B72A9E697480C161','final',NULL);
-- Triggers and indices on  document
CREATE INDEX document_of on document (message);

-- Table  envelope
CREATE TABLE envelope (
  id          integer primary key,
  feed        text    not null,
  received_at integer not null,
  transport   text    not null,
  peer        text    not null,
  dedupe      blob    not null unique,
  size        integer not null,
  messages    integer not null,
  answer      text    not null
) strict;
INSERT INTO envelope VALUES(2,'example-mental-health/adt',1772528400000000,'mllp','sender.example',X'227BA5F2C6C9109FE5C44A0696F393379607493A377F522EE27D9A7AE3227D89',10,1,'{"verdict":"accepted","text":"safely stored","at":1772528400000000,"code":"","issues":[]}');
INSERT INTO envelope VALUES(6,'example-mental-health/adt',1772528400000000,'mllp','sender.example',X'08F225FE08E94A5B1DA2DA4079FCD1A7647D375CC95624A6C6D65A6FC84B3243',10,1,'{"verdict":"accepted","text":"safely stored","at":1772528400000000,"code":"","issues":[]}');
INSERT INTO envelope VALUES(14,'example-mental-health/adt',1772528400000000,'mllp','sender.example',X'3D3EE11C2FBF7F6A6B1E6AA16C382631EC5F1FBFC50CA3BA5A89D366D22EEAEF',10,1,'{"verdict":"accepted","text":"safely stored","at":1772528400000000,"code":"","issues":[]}');
INSERT INTO envelope VALUES(19,'example-mental-health/adt',1772528400000000,'mllp','sender.example',X'A1788CE1D89FE8B456E26D4C37FD635633C259ADC1FF7FFFAE353A5C73807B19',10,1,'{"verdict":"accepted","text":"safely stored","at":1772528400000000,"code":"","issues":[]}');
INSERT INTO envelope VALUES(24,'example-mental-health/adt',1772528400000000,'mllp','sender.example',X'4FEC9C05B7F6DB9C1B5FDD75BC5107F257D3E28F9CB1313C7797F498438B426F',10,1,'{"verdict":"accepted","text":"safely stored","at":1772528400000000,"code":"","issues":[]}');
INSERT INTO envelope VALUES(29,'example-mental-health/adt',1772528400000000,'mllp','sender.example',X'2178BF21A7BEA99AA9C6374B2D5B9112930F3BA481C0CD9BB43BDE257F656D26',10,1,'{"verdict":"accepted","text":"safely stored","at":1772528400000000,"code":"","issues":[]}');
INSERT INTO envelope VALUES(31,'example-mental-health/adt',1772528400000000,'mllp','sender.example',X'BD083ACCBFA2ED57273CEF976E0ADF5714D5E92C5F644116EBFFE06F4E0CE407',10,1,'{"verdict":"accepted","text":"safely stored","at":1772528400000000,"code":"","issues":[]}');

-- Table  lane
CREATE TABLE lane (
  patient     integer not null,
  destination integer not null,
  last_seq    integer not null,
  depth       integer not null,
  next_at     integer,
  held        text    not null default '',
  primary key (patient, destination)
) strict, without rowid;
INSERT INTO lane VALUES(1,9,1,0,NULL,'');
INSERT INTO lane VALUES(1,11,1,1,1772528460000000,'');
INSERT INTO lane VALUES(5,9,2,2,NULL,'parked');
INSERT INTO lane VALUES(5,11,2,2,1772528460000000,'');
INSERT INTO lane VALUES(13,9,1,1,1772528460000000,'');
INSERT INTO lane VALUES(13,11,1,1,1772528460000000,'');
-- Triggers and indices on  lane
CREATE INDEX lane_due on lane (destination, next_at) where next_at is not null;

-- Table  log
CREATE TABLE log (
  writer integer not null,
  seq    integer not null,
  at     integer not null,
  what   text    not null,
  about  integer not null,
  moves  text    not null,
  who    text    not null,
  mac    blob    not null,
  primary key (writer, seq)
) strict, without rowid;
INSERT INTO log VALUES(1,1,1772528400000000,'message',3,'>done','gateway',X'7C0E342A7BC240463D26C9E72E353EF64015E3465D6D0E767AB031F500E72C46');
INSERT INTO log VALUES(1,2,1772528400000000,'message',7,'>done, 2 queued','gateway',X'D34AE877D5ACB8D6ADE37F465186056A10CA75BA52B056A34C0A033C2CA557B1');
INSERT INTO log VALUES(1,3,1772528400000000,'message',15,'>done, 2 queued','gateway',X'FF1D75E00ACD93A0392E777FE31B42CA22D85F8B94A3B2ADFE787A574047DEDC');
INSERT INTO log VALUES(1,4,1772528400000000,'message',20,'>done, 2 queued','gateway',X'86D07C7DBCE1E76493E0F4C3FBDD22B97DF57839DAFF3D70C3B511AF95B558DE');
INSERT INTO log VALUES(1,5,1772528400000000,'message',25,'>done, 2 queued','gateway',X'9F90A4FD66BFBB967799E23E2F37A7B7CF125A2D06F72D05FD696FE29BA1A437');
INSERT INTO log VALUES(1,6,1772528400000000,'delivery',22,'queued>sending','gateway',X'E9EC275D5115878BE32B25145EB2F6BFAB26CDD40AFE8A3F5E320340DF4DC322');
INSERT INTO log VALUES(1,7,1772528400000000,'delivery',10,'queued>sending','gateway',X'9DC638BD0BD9B86CDC97BA9C09EFC0C6056AB55503F8C3F160E63E2C92A60F0E');
INSERT INTO log VALUES(1,8,1772528400000000,'delivery',17,'queued>sending','gateway',X'9BFD10E36298CB84178286746FD31FDFBD437735FA6A965D4F218F01781C93A6');
INSERT INTO log VALUES(1,9,1772528400000000,'delivery',23,'queued>sending','gateway',X'4A3CEFFE1B8DE06BB3F950B25BFA1AADC54AFBF0BE69A48828A233F1F951EF3C');
INSERT INTO log VALUES(1,10,1772528400000000,'delivery',12,'queued>sending','gateway',X'DA5DA17D27E26FA34BCD936EF45975381AC3777BF0A183B30B26A0C3E73BBBB2');
INSERT INTO log VALUES(1,11,1772528400000000,'delivery',18,'queued>sending','gateway',X'1CC229E6A6E6422A4F5AF002C01B1A637C503A6180BC066A862FE66443CCB26B');
INSERT INTO log VALUES(1,12,1772528400000000,'delivery',22,'sending>done','gateway',X'9342A46A77C8B5FE39B57F47521F86A7AD130BD13686EEF9C3409E890978A80D');
INSERT INTO log VALUES(1,13,1772528400000000,'delivery',10,'sending>parked D904','gateway',X'9B9A524614CB4BB4C631E82D480D6A8424EBA21B0B7308139E4076ADD9AD5246');
INSERT INTO log VALUES(1,14,1772528400000000,'delivery',17,'sending>retry D901','gateway',X'11D698BFC06C1876684E8BFB19D5E95EA895C218229D85FEF0836C4F124C24BE');
INSERT INTO log VALUES(1,15,1772528400000000,'message',30,'>parked M703','gateway',X'5780BBA99F48FEF3CF5BE9705813FD935C3291E3701074C77B21EFD0ACD3854E');
INSERT INTO log VALUES(1,16,1772528400000000,'message',32,'>filtered','gateway',X'6DCCFBFF80D3FA6B2A1F065E406DFA316E8865526C7833ED26A868E85322423D');
INSERT INTO log VALUES(1,17,1772528400000000,'repeat',2,'','example-mental-health/adt',X'A32CA5C2C790F9BCC572C41277147F3914C156BE0464A55972464493AD6202D0');
INSERT INTO log VALUES(1,18,1772528400000000,'refusal',0,'M701','a/b',X'8A6791F10966194B79C5FCB4B6155667E5399C9A242E0F3EE871024EA5D16684');
-- Triggers and indices on  log
CREATE INDEX log_about on log (about);

-- Table  message
CREATE TABLE message (
  id           integer primary key,
  envelope     integer not null,
  feed         text    not null,
  kind         text    not null,
  place        text    not null,
  received_at  integer not null,
  patient      integer not null,
  state        text    not null,
  code         text    not null,
  due_at       integer,
  mapping      text    not null,
  mapping_hash text    not null,
  fanout       integer not null,
  issues       text    not null
) strict;
INSERT INTO message VALUES(3,2,'example-mental-health/adt','ADT^A03','',1772528400000000,1,'done','',NULL,'example-mental-health/adt','00000000',0,'[]');
INSERT INTO message VALUES(7,6,'example-mental-health/adt','ADT^A03','',1772528400000000,5,'done','',NULL,'','',2,'[]');
INSERT INTO message VALUES(15,14,'example-mental-health/adt','ADT^A03','',1772528400000000,13,'done','',NULL,'','',2,'[]');
INSERT INTO message VALUES(20,19,'example-mental-health/adt','ADT^A03','',1772528400000000,1,'done','',NULL,'','',2,'[]');
INSERT INTO message VALUES(25,24,'example-mental-health/adt','ADT^A03','',1772528400000000,5,'done','',NULL,'','',2,'[]');
INSERT INTO message VALUES(30,29,'example-mental-health/adt','ADT^A03','',1772528400000000,1,'parked','M703',NULL,'','',0,'[]');
INSERT INTO message VALUES(32,31,'example-mental-health/adt','ADT^A03','',1772528400000000,1,'filtered','',NULL,'','',0,'[]');
-- Triggers and indices on  message
CREATE INDEX message_envelope on message (envelope);
CREATE INDEX message_feed     on message (feed, state, id);
CREATE INDEX message_open     on message (due_at) where due_at is not null;

-- Table  meta
CREATE TABLE meta (name text primary key, value text not null) strict, without rowid;
INSERT INTO meta VALUES('schema','1');
INSERT INTO meta VALUES('secret','5d8734384a5731c94bc9136ee019ead65bf979d810e6712ede2936213336183f');

-- Table  patient
CREATE TABLE patient (id integer primary key, token blob not null unique) strict;
INSERT INTO patient VALUES(1,X'3895931CBD3BF54C45E2F4BE43D6470B');
INSERT INTO patient VALUES(5,X'E027B9442D4074DB40E076D3BC0BE749');
INSERT INTO patient VALUES(13,X'C890345E3A1E80043E230792B70EE508');

-- Table  property
CREATE TABLE property (token blob not null, message integer not null, kind integer not null, primary key (token, message))
  strict, without rowid;
INSERT INTO property VALUES(X'0A9C5DB1C9E0F131BED958407A3C28EA',3,2);
INSERT INTO property VALUES(X'0A9C5DB1C9E0F131BED958407A3C28EA',20,2);
INSERT INTO property VALUES(X'0A9C5DB1C9E0F131BED958407A3C28EA',30,2);
INSERT INTO property VALUES(X'0A9C5DB1C9E0F131BED958407A3C28EA',32,2);
INSERT INTO property VALUES(X'198C9E20574BAFE6A9CB2D0F843D3284',30,1);
INSERT INTO property VALUES(X'59C690F50C017EA6DC158E8079493A74',3,3);
INSERT INTO property VALUES(X'A900E17CD20ABAA3BA04462B7D87BB34',15,1);
INSERT INTO property VALUES(X'B5DD67132F7C49AAD2312BC8524C4697',7,2);
INSERT INTO property VALUES(X'B5DD67132F7C49AAD2312BC8524C4697',25,2);
INSERT INTO property VALUES(X'BB635A52EC8FC7AC5E222190D71FD0AA',32,1);
INSERT INTO property VALUES(X'C6DB72E8649CB1278F9973EBAA216FE7',15,2);
INSERT INTO property VALUES(X'DEE0915EF77C5FEB5DA34B097C9ADE52',20,1);
INSERT INTO property VALUES(X'F25339D2D02E1095C0DFE262AE2F0C1B',25,1);
INSERT INTO property VALUES(X'F467724EF0D516A7A701C5F480C59E22',7,1);
INSERT INTO property VALUES(X'F4E3737F00EF4ACD24813FBC902262CD',3,1);

-- Table  reading
CREATE TABLE reading (
  id       integer primary key,
  message  integer not null,
  patient  integer not null,
  document text    not null,
  episode  blob    not null,
  event_at integer not null,
  sent_at  integer not null,
  key_id   integer not null,
  items    blob    not null
) strict;
INSERT INTO reading VALUES(4,3,1,'encounter-event',X'1C0B7A63EB96D5FF7B9F6E8C4858BE9E',1772528400000000,1772528400000000,0,X'011A005342C44FF8CB3A75C14B78C3133F4581643702AD38E40B13BE6369659D7B2261646D697373696F6E5F6D6574686F64223A223231222C226E223A317D');
-- Triggers and indices on  reading
CREATE INDEX reading_of on reading (patient, document, episode, event_at, sent_at);

-- Table  tally
CREATE TABLE tally (
  writer integer not null,
  feed   text    not null,
  what   text    not null,
  state  text    not null,
  n      integer not null,
  primary key (writer, feed, what, state)
) strict, without rowid;
INSERT INTO tally VALUES(1,'a/b','receipt','received',1);
INSERT INTO tally VALUES(1,'a/b','receipt','refused',1);
INSERT INTO tally VALUES(1,'acute','delivery','queued',1);
INSERT INTO tally VALUES(1,'acute','delivery','sending',3);
INSERT INTO tally VALUES(1,'example-mental-health/adt','message','done',5);
INSERT INTO tally VALUES(1,'example-mental-health/adt','message','filtered',1);
INSERT INTO tally VALUES(1,'example-mental-health/adt','message','parked',1);
INSERT INTO tally VALUES(1,'example-mental-health/adt','receipt','received',8);
INSERT INTO tally VALUES(1,'example-mental-health/adt','receipt','repeat',1);
INSERT INTO tally VALUES(1,'gp','delivery','done',1);
INSERT INTO tally VALUES(1,'gp','delivery','parked',1);
INSERT INTO tally VALUES(1,'gp','delivery','queued',1);
INSERT INTO tally VALUES(1,'gp','delivery','retry',1);
INSERT INTO tally VALUES(1,'gp','delivery','sending',0);

COMMIT TRANSACTION;
