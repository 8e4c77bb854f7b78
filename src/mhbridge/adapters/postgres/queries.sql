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
-- name: my_transaction
select pg_current_xact_id()::text;
-- name: status_of_transaction
select pg_xact_status(cast(cast(:id as text) as xid8));
-- name: be_writer
-- Held for as long as the session lives, however it ends.
select pg_try_advisory_lock(1835557490, cast(:number as int4));
-- name: read_keys
select version, content from data_keys where id = 1;
-- name: make_keys
insert into data_keys (id, version, content) values (1, 1, :content) on conflict do nothing;
-- name: change_keys
update data_keys set version = version + 1, content = :content where id = 1 and version = :version;
