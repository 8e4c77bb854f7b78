-- Schema 2: starts and merges, where a version comes from, clocks, tasks, profiles and gaps.
-- Until a release has this schema, whatever joins schema.sql joins this file as well; a test compares the two.

-- now
alter table message add column event_at integer;
alter table message add column starts integer not null default 0;
alter table message add column historic integer not null default 0;
alter table message add column retires integer;
alter table envelope add column before text not null default '';
alter table document add column mapping text not null default '';
alter table document add column known blob not null default x'';
alter table document add column patient integer not null default 0;
alter table document add column episode blob not null default x'';
alter table document add column content blob not null default x'';
create index document_episode on document (patient, episode) where bundle = 'document';
alter table patient add column merged_into integer;
alter table patient add column person blob;
alter table delivery add column needs integer not null default 2;
alter table lane add column letters integer not null default 0;
update lane set letters = (select count(*) from delivery d join document o on o.id = d.document
  where d.patient = lane.patient and d.destination = lane.destination and o.bundle = 'document'
    and d.state in ('queued', 'sending', 'unknown', 'retry', 'parked')) where depth > 0;
drop index lane_due;
create index lane_due     on lane (destination, next_at) where next_at is not null and letters = 0;
create index lane_letters on lane (destination, next_at) where next_at is not null and letters > 0;

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

create table letter (
  message integer primary key,
  patient integer not null,
  due_at  integer,
  done_at integer
) strict;
create index letter_due on letter (due_at) where due_at is not null;
create table stale (
  patient integer not null,
  kind    text    not null,
  at      integer not null,
  primary key (patient, kind)
) strict, without rowid;
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

-- What is parked is somebody's task. When it was parked is only in the log; since it arrived is what people want to know.
insert into task (id, what, about, cause, queue, severity, opened_at, deadline, next_at)
  with last (id) as (select max(id) from (
    select max(id) as id from envelope union all select max(id) from message union all select max(id) from reading
    union all select max(id) from document union all select max(id) from patient union all select max(id) from destination
    union all select max(id) from delivery union all select max(id) from body union all select max(about) from log)),
  parked (what, about, cause, at) as (
    select 'message', id, code, received_at from message where state = 'parked'
    union all select 'delivery', d.id, d.code, m.received_at from delivery d join message m on m.id = d.message
      where d.state = 'parked')
  select last.id + row_number() over (order by parked.about), what, about, cause, 'operations', 'normal', at,
    at + 28800000000, at + 14400000000 from parked, last;

create table profile (feed text not null, hour integer not null, counts text not null, primary key (feed, hour))
  strict, without rowid;

create table listening (
  feed         text    primary key,
  day          text    not null,
  count        integer not null,
  expected     real    not null,
  silent_since integer
) strict, without rowid;

create table gap (
  feed    text    not null,
  series  text    not null,
  first   integer not null,
  last    integer not null,
  seen_at integer not null,
  told    integer not null default 0,
  primary key (feed, series, first)
) strict, without rowid;

create table identity (token blob not null, patient integer not null, kind integer not null, primary key (token, patient))
  strict, without rowid;
create index identity_patient on identity (patient) where kind = 4;

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

-- later
create index if not exists message_turn on message (patient, id) where state in ('stored', 'held');
create index if not exists message_retires on message (retires, id) where retires is not null and state in ('stored', 'held');
create index if not exists patient_person on patient (person) where person is not null;
create index if not exists patient_merged on patient (merged_into) where merged_into is not null;
create index if not exists message_patient on message (patient, id);
create index if not exists delivery_remote on delivery (remote_id) where remote_id <> '';
drop index if exists message_feed;
create index if not exists message_feed on message (feed, state, received_at, id);
create index if not exists log_audit on log (seq) where what = 'audit';
create index if not exists body_key on body (key_id);
create index if not exists reading_key on reading (key_id);
