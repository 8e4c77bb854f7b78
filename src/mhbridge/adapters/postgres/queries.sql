-- Queries that PostgreSQL is asked in other words than SQLite. The same names in adapters/sql/queries.sql give way.

-- name: hide_series_of
-- 256 random bits of two identifiers; 12 of them say that they are random.
update document set series = decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'), episode = ''::bytea
  where message in (select id from message where patient = :id);

-- What only PostgreSQL is asked --------------------------------------------------------------------------------

-- name: size_of_database
select pg_database_size(current_database());
-- name: next_ids
select nextval('ids');
-- name: skip_ids
select setval('ids', nextval('ids') + :by);
-- name: status_of_transaction
select pg_xact_status(cast(cast(:id as text) as xid8));
-- name: be_writer
-- Held for as long as the session lives, however it ends.
select pg_try_advisory_lock(1835557490, cast(:number as int4));
-- name: other_writers
select 1 from pg_locks where locktype = 'advisory' and classid = 1835557490 and pid <> pg_backend_pid()
  and database = (select oid from pg_database where datname = current_database()) limit 1;
-- name: read_keys
select version, content from data_keys where id = 1;
-- name: make_keys
insert into data_keys (id, version, content) values (1, 1, :content) on conflict do nothing;
-- name: change_keys
update data_keys set version = version + 1, content = :content where id = 1 and version = :version;

-- Leases -------------------------------------------------------------------------------------------------------

-- name: node_lives
insert into node (name, run, until) values (:name, :run, (extract(epoch from clock_timestamp()) * 1000000)::bigint + cast(:lease as bigint))
  on conflict (name) do update set run = excluded.run, until = excluded.until;
-- name: life_of_node
select run from node where name = :name;
-- name: node_ends
delete from node where run = :run;
-- name: forget_nodes
delete from node where until < (extract(epoch from clock_timestamp()) * 1000000)::bigint - cast(:after as bigint);
-- name: nodes
select n.name, n.run, (select count(*) from part p where p.owner = n.run), n.until,
  n.until > (extract(epoch from clock_timestamp()) * 1000000)::bigint from node n;
-- name: renew_parts
update part set until = (extract(epoch from clock_timestamp()) * 1000000)::bigint + cast(:lease as bigint) where owner = :owner;
-- name: leave_parts
update part set owner = '', until = 0 where owner = :owner and part = any(cast(:some as bigint[]));
-- name: want_parts
-- Whoever has one may hold its row just now: it is asked for again.
update part set wanted = :owner where part in (
  select part from part where owner <> :owner and part = any(cast(:some as bigint[])) order by part for update skip locked);
-- name: take_parts
-- Whoever had it may still be writing under its lease: then it is taken when that has ended, or been ended.
update part p set owner = :owner, token = p.token + 1, wanted = '',
    until = (extract(epoch from clock_timestamp()) * 1000000)::bigint + cast(:lease as bigint)
  from (select q.part, q.owner from part q where q.owner <> :owner and q.until <= (extract(epoch from clock_timestamp()) * 1000000)::bigint
      and (q.wanted in ('', cast(:owner as text)) or not exists (select 1 from node n where n.run = q.wanted
        and n.until > (extract(epoch from clock_timestamp()) * 1000000)::bigint))
    order by q.wanted = cast(:owner as text) desc, q.part limit :most for update skip locked) f
  where p.part = f.part returning p.part, f.owner;
-- name: parts_of_node
select part, token, wanted from part where owner = :owner;
-- name: hold_parts
select part, token from part where owner = :owner and part = any(cast(:some as bigint[])) order by part for share;
-- name: keep_parts
select part from part where part = any(cast(:some as bigint[])) order by part for update;
-- name: tell
select pg_notify('mhbridge', cast(:news as text));
