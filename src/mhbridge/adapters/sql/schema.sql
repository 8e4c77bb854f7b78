-- The tables of the store, in SQLite's spelling. Names and columns are those of the design reference of the gateway.
-- Times are microseconds since 1970 in UTC. Ids are 63-bit, allotted by the writer from one sequence for all tables.
-- Narrow tables that are only reached by their key are `without rowid`; tables that hold bodies are not.
-- No trigger, no cascade, no foreign key: a row is written by the code that names it, and the accounts are checked.

create table meta (name text primary key, value text not null) strict, without rowid;

-- One arrival of bytes that was kept. `answer` is the first answer, to be given again word for word.
create table envelope (
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

-- Bytes of envelopes and of documents, by the id of either. `key_id` says how they are closed.
create table body (id integer primary key, key_id integer not null, data blob not null) strict;

-- `issues` is a list in JSON, read only when somebody asks about this message; most messages have few or none.
create table message (
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
create index message_envelope on message (envelope);
create index message_feed     on message (feed, state, id);
create index message_open     on message (due_at) where due_at is not null;

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
  unique (series, version)
) strict;
create index document_of on document (message);

create table patient (id integer primary key, token blob not null unique) strict;

-- Names of destinations, so that lanes and deliveries, the most numerous rows, hold a number.
create table destination (id integer primary key, name text not null unique) strict;

-- Patient and destination: what leaves in order, one at a time. A message that names no patient is its own patient.
-- `next_at` is when its head may leave, null when it has none or waits for a person (`held`).
create table lane (
  patient     integer not null,
  destination integer not null,
  last_seq    integer not null,
  depth       integer not null,
  next_at     integer,
  held        text    not null default '',
  primary key (patient, destination)
) strict, without rowid;
create index lane_due on lane (destination, next_at) where next_at is not null;

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

-- Tokens of the identifiers that people search by; the identifiers themselves are only in the bodies.
create table property (token blob not null, message integer not null, kind integer not null, primary key (token, message))
  strict, without rowid;

-- Counted where a thing happens, compared with the rows. For what = 'delivery', `feed` is the destination's name.
create table tally (
  writer integer not null,
  feed   text    not null,
  what   text    not null,
  state  text    not null,
  n      integer not null,
  primary key (writer, feed, what, state)
) strict, without rowid;
