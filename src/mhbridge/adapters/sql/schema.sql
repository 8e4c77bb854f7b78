-- The tables of the store, in SQLite's spelling. Names and columns are those of the design reference of the gateway.
-- Times are microseconds since 1970 in UTC. Ids are 63-bit, allotted by the writer from one sequence for all tables.
-- Narrow tables that are only reached by their key are `without rowid`; tables that hold bodies are not.
-- No trigger, no cascade, no foreign key: a row is written by the code that names it, and the accounts are checked.

create table meta (name text primary key, value text not null) strict, without rowid;

-- One arrival of bytes that was kept. `answer` is the first answer, to be given again word for word. `before` is what came
-- before it of a file that is taken in parts: rows, lines and bytes; else empty.
create table envelope (
  id          integer primary key,
  feed        text    not null,
  received_at integer not null,
  transport   text    not null,
  peer        text    not null,
  dedupe      blob    not null unique,
  size        integer not null,
  messages    integer not null,
  answer      text    not null,
  before      text    not null default ''
) strict;

-- Bytes of envelopes and of documents, by the id of either, encrypted. `key_id` is the number of a key outside the
-- database; what it opens when it has been dropped, is empty here and stays as a row. 0: of schema 1, not encrypted.
create table body (id integer primary key, key_id integer not null, data blob not null) strict;
create index body_key on body (key_id);

-- `issues` is a list in JSON, read only when somebody asks about this message; most messages have few or none.
-- `starts` counts how often work on it was begun and did not come to an end; while it is in hand, `due_at` is when whoever
-- has it must be back. `historic`: a person has it worked again.
-- `retires`: of a merge, the patient whose identifier goes; it has its turn in both. `event_at` is null when it says none.
create table message (
  id           integer primary key,
  envelope     integer not null,
  feed         text    not null,
  kind         text    not null,
  place        text    not null,
  received_at  integer not null,
  patient      integer not null,
  event_at     integer,
  state        text    not null,
  code         text    not null,
  due_at       integer,
  starts       integer not null default 0,
  historic     integer not null default 0,
  retires      integer,
  mapping      text    not null,
  mapping_hash text    not null,
  fanout       integer not null,
  issues       text    not null
) strict;
create index message_envelope on message (envelope);
create index message_feed     on message (feed, state, received_at, id);
create index message_patient  on message (patient, id);
create index message_open     on message (due_at) where due_at is not null;
create index message_turn     on message (patient, id) where state in ('stored', 'held');
create index message_retires  on message (retires, id) where retires is not null and state in ('stored', 'held');

-- What one message says: its items, closed like a body. Kept because `known` is computed from all of them and is
-- nowhere stored. Equal times fold in the order of arrival, which is that of the ids.
create table reading (
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
create index reading_of on reading (patient, document, episode, event_at, sent_at);
create index reading_key on reading (key_id);

-- `patient` and `episode`: of whose stay it is. `content` is a hash of what it says, whichever version it is.
create table document (
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
  mapping    text    not null default '',
  known      blob    not null default x'',
  patient    integer not null default 0,
  episode    blob    not null default x'',
  content    blob    not null default x'',
  unique (series, version)
) strict;
create index document_of on document (message);
create index document_episode on document (patient, episode) where bundle = 'document';

-- `merged_into` alone says where the readings and lanes of a retired identifier fold: they keep the patient that they
-- were sent under, so that a merge can be undone. `person` is a token of a verified number and birth date. Where several
-- gateways share a database, the last eight bits of `id` are the first eight of `token`: the part that the patient is in.
create table patient (
  id          integer primary key,
  token       blob    not null unique,
  merged_into integer,
  person      blob
) strict;
create index patient_person on patient (person) where person is not null;
create index patient_merged on patient (merged_into) where merged_into is not null;

-- Names of destinations, so that lanes and deliveries, the most numerous rows, hold a number.
create table destination (id integer primary key, name text not null unique) strict;

-- Patient and destination: what leaves in order, one at a time. A message that names no patient is its own patient.
-- `next_at` is when its head may leave, null when it has none or waits for a person (`held`). `letters` is how many
-- documents are in it: where much waits, its head goes before those of lanes that have none.
create table lane (
  patient     integer not null,
  destination integer not null,
  last_seq    integer not null,
  depth       integer not null,
  next_at     integer,
  held        text    not null default '',
  letters     integer not null default 0,
  primary key (patient, destination)
) strict, without rowid;
create index lane_due     on lane (destination, next_at) where next_at is not null and letters = 0;
create index lane_letters on lane (destination, next_at) where next_at is not null and letters > 0;

create table delivery (
  id          integer primary key,
  message     integer not null,
  document    integer not null,
  destination integer not null,
  patient     integer not null,
  seq         integer not null,
  state       text    not null,
  code        text    not null default '',
  level       integer not null default 0,
  needs       integer not null default 2,
  attempts    integer not null default 0,
  due_at      integer,
  deadline    integer,
  remote_id   text    not null default '',
  sent_at     integer
) strict;
-- A query uses a partial index only if it repeats this condition in these words.
create unique index delivery_head on delivery (patient, destination, seq) where state in ('queued', 'sending', 'unknown', 'retry', 'parked');
create index delivery_open on delivery (state, deadline) where state in ('queued', 'sending', 'unknown', 'retry', 'awaiting', 'parked');
create index delivery_of on delivery (message);
create index delivery_remote on delivery (remote_id) where remote_id <> '';

-- Attempts that did not end well; the one that did is in its delivery, so the usual case costs no row.
create table attempt (
  delivery   integer not null,
  n          integer not null,
  started_at integer not null,
  ended_at   integer not null,
  result     text    not null,
  code       text    not null,
  primary key (delivery, n)
) strict, without rowid;

create table log (
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
create index log_about on log (about);
create index log_audit on log (seq) where what = 'audit';

-- Tokens of the identifiers that people search by; the identifiers themselves are only in the bodies.
create table property (token blob not null, message integer not null, kind integer not null, primary key (token, message))
  strict, without rowid;

-- The same of what belongs to a patient and not to one message, which is the most of it: written when it is new, and not
-- again with every message of the patient.
create table identity (token blob not null, patient integer not null, kind integer not null, primary key (token, patient))
  strict, without rowid;
create index identity_patient on identity (patient) where kind = 4;

-- Counted where a thing happens, compared with the rows. For what = 'delivery', `feed` is the destination's name.
create table tally (
  writer integer not null,
  feed   text    not null,
  what   text    not null,
  state  text    not null,
  n      integer not null,
  primary key (writer, feed, what, state)
) strict, without rowid;

-- What no other row says, counted for figures without identities: of a mapping and a month of London's, how many messages
-- and letters there were, under which headings something was said, which codes and fields its lines do not know. It names
-- nobody and outlives what is purged.
create table figure (
  writer  integer not null,
  month   text    not null,
  mapping text    not null,
  kind    text    not null,
  what    text    not null,
  name    text    not null,
  said    text    not null,
  n       integer not null,
  primary key (writer, month, mapping, kind, what, name, said)
) strict, without rowid;

-- A deadline with a ladder of steps, computed from what is known and made so: of a stay, the type of the document that is
-- waited for, and each of its recipients (0: of nobody). `met` is the delivery that met it. Where each entry of a list has a
-- clock, `entry` is which of them it is from version to version, and `place` where it stands in the newest.
create table clock (
  id          integer primary key,
  name        text    not null,
  patient     integer not null,
  kind        text    not null,
  episode     blob    not null,
  destination integer not null,
  needs       integer not null,
  rank        integer not null,
  started_at  integer not null,
  due_at      integer not null,
  ladder      text    not null,
  next_at     integer,
  step        integer not null default 0,
  state       text    not null,
  met         integer,
  entry       blob    not null default x'',
  place       integer not null default 0,
  unique (patient, episode, name, kind, destination, entry)
) strict;
create index clock_next  on clock (next_at) where next_at is not null;
create index clock_state on clock (state, name);

create table word (
  patient integer not null,
  name    text    not null,
  told_by blob    not null,
  says    text    not null,
  at      integer not null,
  primary key (patient, name, told_by)
) strict, without rowid;

-- Messages of letters that something has overtaken: worked again at `due_at`, or last so at `done_at`.
create table letter (
  message integer primary key,
  patient integer not null,
  due_at  integer,
  done_at integer
) strict;
create index letter_due on letter (due_at) where due_at is not null;

-- Of a patient, when the newest of what makes letters of a type stale was: one that is older waits for a person.
create table stale (
  patient integer not null,
  kind    text    not null,
  at      integer not null,
  primary key (patient, kind)
) strict, without rowid;

-- What a patient's readings were to a watch, and who sent all of them; '' several did. Due: something may be to be told.
create table watch (
  patient integer primary key,
  seen    integer not null,
  sender  text    not null,
  due_at  integer,
  turn    integer not null
) strict;
create index watch_due on watch (due_at) where due_at is not null;

create table notice (
  patient integer not null,
  name    text    not null,
  subject blob    not null,
  number  integer not null,
  said    blob    not null,
  primary key (patient, name, subject)
) strict, without rowid;

-- Something that a person must do. `about` is the id of a row, or 0 with the name of a feed or destination in `name`.
create table task (
  id        integer primary key,
  what      text    not null,
  about     integer not null,
  name      text    not null default '',
  cause     text    not null,
  queue     text    not null,
  severity  text    not null,
  opened_at integer not null,
  deadline  integer,
  next_at   integer,
  holder    text    not null default '',
  closed_at integer,
  closed_as text    not null default ''
) strict;
create unique index task_open  on task (what, about, name) where closed_at is null;
create index task_queue on task (queue, severity, deadline) where closed_at is null;
create index task_next  on task (next_at) where next_at is not null;
create index task_about on task (about) where about <> 0;

-- What a feed sent in the last like hours, for each hour of the week: counts with blanks between, the newest last.
create table profile (feed text not null, hour integer not null, counts text not null, primary key (feed, hour))
  strict, without rowid;

-- How a feed stands: how many came on a day, what was expected since the last message, since when it has been silent.
create table listening (
  feed         text    primary key,
  day          text    not null,
  count        integer not null,
  expected     real    not null,
  silent_since integer
) strict, without rowid;

-- Numbers of a feed's messages that have not come. The last of a series is open-ended: what has yet to come.
create table gap (
  feed    text    not null,
  series  text    not null,
  first   integer not null,
  last    integer not null,
  seen_at integer not null,
  told    integer not null default 0,
  primary key (feed, series, first)
) strict, without rowid;
