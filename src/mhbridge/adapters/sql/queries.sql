-- Named queries of the SQL stores. Parameters are named; values never stand in the text. Where one statement works a
-- whole batch, `:each` stands for as many parameters as there are keys, and a row of `?` is repeated for each row.
-- Where several gateways share a database, `/* held N */` asks for no more than the parts that are this one's, and
-- `/* these N */` for those that it names; N is the number that has the part in it. Elsewhere they are remarks.

-- Opening ---------------------------------------------------------------------------------------------------

-- name: read_meta
select value from meta where name = :name;
-- name: set_meta
insert into meta (name, value) values (:name, :value) on conflict (name) do update set value = excluded.value;
-- name: drop_meta
delete from meta where name = :name;
-- name: last_id
-- The largest id in use. The log is kept the longest, so an id is not given again when its rows have gone; but what
-- somebody asked to see need never have been there.
select max(id) from (
  select max(id) as id from envelope union all select max(id) from message union all select max(id) from reading
  union all select max(id) from document union all select max(id) from patient union all select max(id) from destination
  union all select max(id) from delivery union all select max(id) from body
  union all select max(id) from task union all select max(id) from clock
  union all select * from (select about from log where what <> 'audit' order by about desc limit 1) l) u;
-- name: log_head
select seq, mac from log where writer = :writer order by seq desc limit 1;
-- name: log_before
select seq, mac from log where writer = :writer and seq <= :seq order by seq desc limit 1;
-- name: writers
-- From one to the next by the index, since each has written much.
with recursive w (writer) as (select min(writer) from log
    union all select (select min(l.writer) from log l where l.writer > w.writer) from w where w.writer is not null)
  select writer from w where writer is not null;
-- name: log_rows
select writer, seq, at, what, about, moves, who, mac from log where writer = :writer and seq > :seq order by seq limit :most;

-- Intake ----------------------------------------------------------------------------------------------------

-- name: seen
select id, answer from envelope where dedupe = :dedupe;
-- name: messages_of_envelope
select id from message where envelope = :envelope order by id;
-- name: seen_of
select dedupe from envelope where dedupe in (:each);
-- name: find_patients
select token, id from patient where token in (:each);
-- name: add_patient
insert into patient (id, token) values (?, ?);
-- name: find_destination
select id from destination where name = :name;
-- name: add_destination
insert into destination (id, name) values (:id, :name);
-- name: newest_versions
with wanted (series) as (values (cast(? as blob)))
  select w.series, d.id, d.version from wanted w join document d on d.series = w.series
    and d.version = (select max(e.version) from document e where e.series = w.series);
-- name: extend_lane
-- By so many deliveries as are new in the lane, the first of which is due then, and so many of them are documents.
insert into lane (patient, destination, last_seq, depth, next_at, letters) values (?, ?, ?, ?, ?, ?)
  on conflict (patient, destination) do update set last_seq = lane.last_seq + excluded.last_seq, depth = lane.depth + excluded.depth,
    letters = lane.letters + excluded.letters,
    next_at = case when lane.held = '' and lane.depth = 0 then excluded.next_at else lane.next_at end
  returning patient, destination, last_seq;
-- name: add_envelope
insert into envelope (id, feed, received_at, transport, peer, dedupe, size, messages, answer, before)
  values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
-- name: add_body
insert into body (id, key_id, data) values (?, ?, ?);
-- name: add_message
insert into message (id, envelope, feed, kind, place, received_at, patient, state, code, due_at, starts, mapping, mapping_hash,
  fanout, issues, retires) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
-- name: add_reading
insert into reading (id, message, patient, document, episode, event_at, sent_at, key_id, items)
  values (?, ?, ?, ?, ?, ?, ?, ?, ?);
-- name: add_document
insert into document (id, series, version, message, kind, target, bundle, identifier, media_type, sha256, status, replaces,
  mapping, known, patient, episode, content) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
-- name: add_delivery
insert into delivery (id, message, document, destination, patient, seq, state, due_at, deadline, needs)
  values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
-- name: add_identity
insert into identity (token, patient, kind) values (?, ?, ?) on conflict do nothing;
-- name: add_property
insert into property (token, message, kind) values (?, ?, ?) on conflict do nothing;
-- name: add_log
insert into log (writer, seq, at, what, about, moves, who, mac) values (?, ?, ?, ?, ?, ?, ?, ?);
-- name: add_tally
insert into tally (writer, feed, what, state, n) values (?, ?, ?, ?, ?)
  on conflict (writer, feed, what, state) do update set n = tally.n + excluded.n;
-- name: add_figure
insert into figure (writer, month, mapping, kind, what, name, said, n) values (?, ?, ?, ?, ?, ?, ?, ?)
  on conflict (writer, month, mapping, kind, what, name, said) do update set n = figure.n + excluded.n;

-- Moves -----------------------------------------------------------------------------------------------------

-- name: move_message
update message set state = :new, code = :code, due_at = :due_at where id = :id and state = :old;
-- name: move_delivery
with moved (id, old, new, code, due_at, level, tries, sent_at, remote_id) as (values (cast(? as bigint), ?, ?, ?, cast(? as bigint), cast(? as bigint), cast(? as bigint), cast(? as bigint), ?))
  update delivery set state = m.new, code = m.code, due_at = m.due_at, level = case when delivery.level < m.level then m.level else delivery.level end,
    attempts = attempts + m.tries, sent_at = coalesce(m.sent_at, delivery.sent_at),
    remote_id = case when m.remote_id = '' then delivery.remote_id else m.remote_id end
  from moved m where delivery.id = m.id and delivery.state = m.old returning delivery.id;
-- name: settle_lane
-- Depth, next time and hold follow from the lane's head. The aggregate makes one row also where there is no head.
with settled (patient, destination, change, letters) as (values (cast(? as bigint), cast(? as bigint), cast(? as bigint), cast(? as bigint)))
  update lane set depth = depth + s.change, letters = case when depth + s.change = 0 or lane.letters + s.letters < 0 then 0 else lane.letters + s.letters end,
    (next_at, held) = (select max(h.due_at), coalesce(max(h.held), '') from (
    select case d.state when 'parked' then null else d.due_at end as due_at, case d.state when 'parked' then 'parked' else '' end as held
    from delivery d where d.patient = s.patient and d.destination = s.destination
      and d.state in ('queued', 'sending', 'unknown', 'retry', 'parked') order by d.seq limit 1) h)
  from settled s where lane.patient = s.patient and lane.destination = s.destination;
-- name: delivery_now
select d.id, d.state, d.patient, d.destination, n.name, d.attempts, d.due_at, d.sent_at,
  not exists (select 1 from delivery e where e.patient = d.patient and e.destination = d.destination and e.seq < d.seq
    and e.state in ('queued', 'sending', 'unknown', 'retry', 'parked')) as head,
  exists (select 1 from document o where o.id = d.document and o.bundle = 'document') as letter
  from delivery d join destination n on n.id = d.destination where d.id in (:each);
-- name: message_now
select state, feed, code, received_at from message where id = :id;
-- name: add_attempt
insert into attempt (delivery, n, started_at, ended_at, result, code) values (?, ?, ?, ?, ?, ?)
  on conflict (delivery, n) do update set ended_at = excluded.ended_at, result = excluded.result, code = excluded.code;
-- name: found_sending
select id from delivery where state = 'sending'
  and state in ('queued', 'sending', 'unknown', 'retry', 'awaiting', 'parked') /* these patient */;
-- name: found_unknown
-- What may not have arrived yet is not looked up sooner.
select id from delivery where state = 'unknown' and due_at < :until
  and state in ('queued', 'sending', 'unknown', 'retry', 'awaiting', 'parked') /* these patient */;
-- name: parked_of_message
select id from delivery where message = :message and state = 'parked' order by id;
-- name: may_be_sent_again
-- The last delivery of each document of a message to each destination, where it has ended and the document is still the newest.
select d.id, d.document, d.destination, n.name, d.patient, d.deadline, d.needs, o.bundle = 'document' from delivery d join destination n on n.id = d.destination
  join document o on o.id = d.document
  where d.message = :message and d.state not in ('queued', 'sending', 'unknown', 'retry', 'awaiting', 'parked', 'cancelled')
    and (:to = '' or n.name = :to)
    and not exists (select 1 from delivery e where e.message = d.message and e.document = d.document
      and e.destination = d.destination and e.seq > d.seq)
    and not exists (select 1 from document p where p.series = o.series and p.version > o.version
      and p.message <> o.message)
    and exists (select 1 from body b where b.id = o.id and b.key_id >= 0)
  order by d.id;
-- name: raise_fanout
update message set fanout = fanout + :n where id = :id;

-- Backlog ---------------------------------------------------------------------------------------------------

-- name: waiting_heads
-- Messages that are due, of each patient the first: what is stored before what is held, which waits for an earlier one.
-- A merge is of both its patients: it comes after what was there of either, and before what came later of either.
select m.id, m.envelope, m.feed, m.patient, m.received_at, m.state, m.starts, m.due_at, m.historic, e.messages, e.size
  from message m join envelope e on e.id = m.envelope where m.due_at <= :now /* held m.patient */
    and not exists (select 1 from message o where o.patient = m.patient and o.state in ('stored', 'held')
      and ((o.state = 'stored' and (o.id < m.id or m.state = 'held')) or (m.state = 'held' and o.state = 'held' and o.id < m.id)))
    and not exists (select 1 from message o where o.retires in (m.patient, m.retires) and o.state in ('stored', 'held')
      and o.state = 'stored' and o.id < m.id)
    and not exists (select 1 from message o where o.patient = m.retires and o.state in ('stored', 'held')
      and o.state = 'stored' and o.id < m.id)
  order by m.due_at, m.id limit :most;
-- name: waiting_newest_heads
-- The same, but those that came due last.
select m.id, m.envelope, m.feed, m.patient, m.received_at, m.state, m.starts, m.due_at, m.historic, e.messages, e.size
  from message m join envelope e on e.id = m.envelope where m.due_at <= :now /* held m.patient */
    and not exists (select 1 from message o where o.patient = m.patient and o.state in ('stored', 'held')
      and ((o.state = 'stored' and (o.id < m.id or m.state = 'held')) or (m.state = 'held' and o.state = 'held' and o.id < m.id)))
    and not exists (select 1 from message o where o.retires in (m.patient, m.retires) and o.state in ('stored', 'held')
      and o.state = 'stored' and o.id < m.id)
    and not exists (select 1 from message o where o.patient = m.retires and o.state in ('stored', 'held')
      and o.state = 'stored' and o.id < m.id)
  order by m.due_at desc, m.id desc limit :most;
-- name: as_waiting
select m.id, m.envelope, m.feed, m.patient, m.received_at, m.state, m.starts, coalesce(m.due_at, m.received_at), m.historic,
  e.messages, e.size from message m join envelope e on e.id = m.envelope where m.id = :id;
-- name: waiting_behind
-- What follows a patient's first stored message, up to the next merge, which looks at the other patient's first.
select id, envelope, feed, patient, received_at, state, starts, due_at, historic from message
  where patient = :patient and state in ('stored', 'held') and state = 'stored' and id > :id
    and id < coalesce((select min(o.id) from message o where o.patient = :patient and o.state in ('stored', 'held')
      and o.id > :id and o.retires is not null), 9223372036854775807)
    and id <= coalesce((select min(o.id) from message o where o.retires = :patient and o.state in ('stored', 'held')
      and o.id > :id), 9223372036854775807)
  order by id limit :most;
-- name: next_waiting
select min(due_at) from message where due_at > :now /* held patient */;
-- name: waits_now
select id, feed, patient, state, starts, due_at from message where id in (:each);
-- name: stored_of_patients
select 1 from patient p where p.token in (:each) and (
    exists (select 1 from message m where m.patient = p.id and m.state in ('stored', 'held') and m.state = 'stored')
    or exists (select 1 from message m where m.retires = p.id and m.state in ('stored', 'held') and m.state = 'stored')) limit 1;
-- name: begin_message
-- Counted before anything is done with it.
update message set starts = :starts, due_at = :until where id = :id;
-- name: put_back
update message set due_at = :due_at, starts = :starts where id = :id;
-- name: place_message
-- Whose a message is that goes on waiting, and why it does.
update message set patient = :patient, retires = :retires, issues = :issues where id = :id;
-- name: settle_message
update message set patient = :patient, kind = :kind, place = :place, mapping = :mapping, mapping_hash = :mapping_hash,
  fanout = fanout + :fanout, issues = :issues, starts = 0 where id = :id;
-- name: divide_envelope
update envelope set messages = :messages where id = :id;
-- name: historic_as
update message set historic = 1 where envelope = :envelope;
-- name: anything_waits
select 1 from message where due_at is not null limit 1;
-- name: bring_forward
-- What of a patient waits for a time. What is in hand stays there.
update message set due_at = :now where patient = :patient and state in ('stored', 'held') and starts = 0 and due_at > :now;
-- name: left_in_hand
update message set due_at = :now where due_at > :now and starts > 0 /* these patient */;
-- name: may_be_worked_again
-- Of what was purged or erased nothing can be worked again.
select m.state, m.feed from message m where m.id = :id
  and exists (select 1 from body b where b.id = m.envelope and b.key_id >= 0);
-- name: work_again
update message set starts = 0, historic = 1 where id = :id;
-- name: unread_message
delete from reading where message = :message and patient in (select patient from message where id = :message
  union select p.id from patient p join message m on m.id = :message and p.merged_into = m.patient);
-- name: sent_of_message
-- What a message sent, or is about to send.
select o.series, o.sha256, n.name from delivery d join document o on o.id = d.document join destination n on n.id = d.destination
  where d.message = :message and d.state not in ('superseded', 'cancelled', 'closed');
-- name: parked_messages_by
select t.cause, m.feed, m.mapping, count(*), min(m.received_at), '', min(m.id) from task t join message m on m.id = t.about
  where t.closed_at is null and t.what = 'message' group by t.cause, m.feed, m.mapping;
-- name: parked_deliveries_by
select d.code, m.feed, m.mapping, count(*), min(m.received_at), n.name, min(m.id) from delivery d
  join message m on m.id = d.message join destination n on n.id = d.destination
  where d.state = 'parked' and d.state in ('queued', 'sending', 'unknown', 'retry', 'awaiting', 'parked')
  group by d.code, m.feed, m.mapping, n.name;
-- name: parked_because
select m.id from task t join message m on m.id = t.about where t.closed_at is null and t.what = 'message'
  and t.cause = :code and (:feed = '' or m.feed = :feed) and m.state = 'parked' order by m.id limit :most;
-- name: envelope_whole
select feed, received_at, transport, peer, before from envelope where id = :id;

-- Delivery --------------------------------------------------------------------------------------------------

-- name: destinations
select id, name from destination order by id;
-- name: due_letters
-- Heads of lanes that a document waits in.
select l.next_at, d.id, d.message, d.patient, d.seq, d.state, d.attempts, d.deadline, d.document, d.sent_at, d.needs
  from lane l
  join delivery d on d.patient = l.patient and d.destination = l.destination
    and d.state in ('queued', 'sending', 'unknown', 'retry', 'parked')
    and d.seq = (select min(e.seq) from delivery e where e.patient = l.patient and e.destination = l.destination
      and e.state in ('queued', 'sending', 'unknown', 'retry', 'parked'))
  where l.destination = :destination and l.letters > 0 and l.next_at <= :now /* held l.patient */ order by l.next_at limit :most;
-- name: due_heads
-- Heads of all others.
select l.next_at, d.id, d.message, d.patient, d.seq, d.state, d.attempts, d.deadline, d.document, d.sent_at, d.needs
  from lane l
  join delivery d on d.patient = l.patient and d.destination = l.destination
    and d.state in ('queued', 'sending', 'unknown', 'retry', 'parked')
    and d.seq = (select min(e.seq) from delivery e where e.patient = l.patient and e.destination = l.destination
      and e.state in ('queued', 'sending', 'unknown', 'retry', 'parked'))
  where l.destination = :destination and l.letters = 0 and l.next_at <= :now /* held l.patient */ order by l.next_at limit :most;
-- name: next_due
select min(at) from (
  select min(next_at) as at from lane where destination = :destination and next_at is not null and letters > 0 /* held patient */
  union all select min(next_at) as at from lane where destination = :destination and next_at is not null and letters = 0
    /* held patient */) u;

-- Series ----------------------------------------------------------------------------------------------------

-- name: versions_of_episode
-- Of the identifier that stays, where some were merged: all of them belong to it.
with recursive up (id, merged_into) as (select id, merged_into from patient where token = :token
    union select p.id, p.merged_into from up join patient p on p.id = up.merged_into)
  select d.id, d.message, d.series, d.version, d.kind, d.target, d.identifier, d.content, d.status
  from up join document d on d.patient = up.id and d.episode = :episode where d.bundle = 'document' and up.merged_into is null
  order by d.id;
-- name: sent_of_document
select d.id, n.name, d.state, d.attempts, d.code from delivery d join destination n on n.id = d.destination
  where d.message = :message and d.document = :document order by d.id;

-- Letters that were overtaken ------------------------------------------------------------------------------

-- name: letters_of_stay
-- The newest version of each, unless it was taken back; and when it was written, as far as that is known.
select o.message, m.received_at, coalesce(max(r.event_at), m.received_at) from document o join message m on m.id = o.message
  left join reading r on r.message = o.message
  where o.patient = :patient and o.episode = :episode and o.bundle = 'document' and o.kind = :kind and o.status = 'final'
    and not exists (select 1 from document p where p.series = o.series and p.version > o.version)
    and not exists (select 1 from delivery d where d.message = o.message and d.document = o.id and d.state = 'cancelled') group by o.message, m.received_at order by o.message;
-- name: letters_of_patient
select o.message, m.received_at, coalesce(max(r.event_at), m.received_at) from document o join message m on m.id = o.message
  left join reading r on r.message = o.message
  where o.patient = :patient and o.bundle = 'document' and o.kind = :kind and o.status = 'final'
    and not exists (select 1 from document p where p.series = o.series and p.version > o.version)
    and not exists (select 1 from delivery d where d.message = o.message and d.document = o.id and d.state = 'cancelled') group by o.message, m.received_at order by o.message;
-- name: waiting_of_letter
select d.id from delivery d join document o on o.message = d.message and o.id = d.document
  where d.message = :message and o.kind = :kind and o.bundle = 'document' and o.status = 'final' and d.state in ('queued', 'retry')
  order by d.id;
-- name: has_left
select count(*) from delivery d join document o on o.message = d.message and o.id = d.document
  where d.message = :message and o.kind = :kind and o.bundle = 'document'
    and d.state in ('sending', 'unknown', 'awaiting', 'done');
-- name: note_stale
insert into stale (patient, kind, at) values (?, ?, ?)
  on conflict (patient, kind) do update set at = excluded.at where excluded.at > stale.at;
-- name: stale_since
select at from stale where patient = :patient and kind = :kind;
-- name: not_stale
-- A person lets go what was held: they know what was newer.
delete from stale where (patient, kind) in (select o.patient, o.kind from delivery d
  join document o on o.message = d.message and o.id = d.document where d.id = :delivery and d.code = :code);
-- name: stale_of
select kind, at from stale where patient = :patient;
-- name: code_of_delivery
select code from delivery where id = :id;
-- name: drop_stale_of
delete from stale where patient = :id;
-- name: letter_due
select due_at, done_at from letter where message = :message;
-- name: plan_letter
insert into letter (message, patient, due_at) values (:message, :patient, :due_at)
  on conflict (message) do update set patient = excluded.patient, due_at = excluded.due_at;
-- name: letter_done
update letter set due_at = null, done_at = :at where message = :message;
-- name: due_letters_again
select message, patient from letter where due_at <= :now /* held patient */ order by due_at limit :most;
-- name: letter_now
select m.state from message m where m.id = :message and exists (select 1 from document o where o.message = m.id
  and o.bundle = 'document' and o.status = 'final' and not exists (select 1 from document p where p.series = o.series and p.version > o.version)
    and not exists (select 1 from delivery d where d.message = o.message and d.document = o.id and d.state = 'cancelled'));

-- Acknowledgements ------------------------------------------------------------------------------------------

-- name: delivery_of_remote
-- The last delivery to a destination that it knows by this id.
select d.id, d.state, d.level, d.needs, d.due_at, d.deadline from delivery d join destination n on n.id = d.destination
  where d.remote_id = :remote and d.remote_id <> '' and n.name = :destination order by d.id desc limit 1;
-- name: raise_level
update delivery set level = :level where level < :level and id = :id;
-- name: awaiting_due
select id from delivery where state = 'awaiting' and state in ('queued', 'sending', 'unknown', 'retry', 'awaiting', 'parked')
  and due_at <= :now /* held patient */ order by due_at limit :most;
-- name: awaiting_of
-- What waits for an acknowledgement of a level that it has not reached, by id.
select d.id, d.remote_id from delivery d join destination n on n.id = d.destination
  where d.state = 'awaiting' and d.state in ('queued', 'sending', 'unknown', 'retry', 'awaiting', 'parked')
  and n.name = :destination and d.level < :level and d.needs >= :level and d.remote_id <> '' and d.id > :after
  /* held d.patient */ order by d.id limit :most;

-- Merging ---------------------------------------------------------------------------------------------------

-- name: merged_patients
select id, merged_into from patient where merged_into is not null;
-- name: merged_tokens
select p.token, q.token from patient p join patient q on q.id = p.merged_into where p.merged_into is not null;
-- name: patient_of_token
select id, merged_into from patient where token = :token;
-- name: patient_with_id
select id, merged_into from patient where id = :id;
-- name: merge_patient
update patient set merged_into = :into where id = :id;
-- name: may_be_leaving
select 1 from delivery where patient = :patient and state in ('sending', 'unknown')
  and state in ('queued', 'sending', 'unknown', 'retry', 'parked') limit 1;
-- name: waits_in_lane
select 1 from delivery where patient = :patient and state in ('queued', 'sending', 'unknown', 'retry', 'parked') limit 1;
-- name: lanes_of_patient
select destination, last_seq, depth, letters from lane where patient = :patient order by destination;
-- name: open_lane
insert into lane (patient, destination, last_seq, depth) values (:patient, :destination, 0, 0) on conflict do nothing;
-- name: move_deliveries
update delivery set patient = :survivor,
    seq = seq + (select last_seq from lane where patient = :survivor and destination = :destination)
  where patient = :retired and destination = :destination and state in ('queued', 'retry', 'parked', 'awaiting');
-- name: lengthen_lane
update lane set last_seq = last_seq + :by where patient = :patient and destination = :destination;
-- name: move_documents
update document set patient = :survivor where patient = :retired and bundle = 'document';
-- name: move_documents_back
-- Those that came under the identifier, which its readings know.
update document set patient = :retired where patient = :survivor and bundle = 'document'
  and message in (select message from reading where patient = :retired);
-- name: move_clocks
update clock set patient = :survivor where patient = :retired and not exists (select 1 from clock c where c.patient = :survivor
  and c.episode = clock.episode and c.name = clock.name and c.kind = clock.kind and c.destination = clock.destination and c.entry = clock.entry);
-- name: move_clocks_back
update clock set patient = :retired where patient = :survivor
  and episode in (select episode from reading where patient = :retired)
  and episode not in (select episode from reading where patient = :survivor)
  and not exists (select 1 from clock c where c.patient = :retired
    and c.episode = clock.episode and c.name = clock.name and c.kind = clock.kind and c.destination = clock.destination
    and c.entry = clock.entry);
-- name: move_words
update word set patient = :survivor where patient = :retired and not exists (select 1 from word w where w.patient = :survivor
  and w.name = word.name and w.told_by = word.told_by);
-- name: move_words_back
update word set patient = :retired where patient = :survivor and told_by in (select episode from reading where patient = :retired)
  and told_by not in (select episode from reading where patient = :survivor);
-- name: move_notices
update notice set patient = :survivor where patient = :retired and not exists (select 1 from notice n where n.patient = :survivor
  and n.name = notice.name and n.subject = notice.subject);
-- name: clocks_left_behind
select id, kind, destination, rank, started_at, due_at, ladder, next_at, step, state, met from clock where patient = :patient;
-- name: move_waiting_messages
update message set patient = :survivor where patient = :retired and state in ('stored', 'held');
-- name: move_waiting_merges
update message set retires = :survivor where retires = :retired and state in ('stored', 'held');

-- Reading ---------------------------------------------------------------------------------------------------

-- name: readings
select id, document, episode, event_at, sent_at, key_id, items from reading where patient = (select id from patient where token = :token);
-- name: readings_after
select id, document, episode, event_at, sent_at, key_id, items from reading
  where patient = (select id from patient where token = :token) and id > :after;
-- name: messages_of_readings
select r.id, m.id, m.kind from reading r join message m on m.id = r.message where r.id in (:each);
-- name: stamp_of_patient
-- How many readings there are of a patient, and what their ids add up to; the same of all merges.
select count(*), cast(coalesce(sum(r.id), 0) as text),
    (select count(*) from patient where merged_into is not null),
    (select cast(coalesce(sum(id), 0) as text) from patient where merged_into is not null),
    (select cast(coalesce(sum(merged_into), 0) as text) from patient where merged_into is not null)
  from reading r where r.patient = (select id from patient where token = :token);
-- name: merges
select count(*), cast(coalesce(sum(id), 0) as text), cast(coalesce(sum(merged_into), 0) as text) from patient
  where merged_into is not null;
-- name: body
select key_id, data from body where id = :id;
-- name: envelope_of_message
select envelope from message where id = :id;
-- name: part_of_envelope
select e.id, (select count(*) from message o where o.envelope = e.id and o.id < m.id), e.messages
from message m join envelope e on e.id = m.envelope where m.id = :id;
-- name: message
select id, envelope, feed, kind, place, received_at, state, code, mapping, fanout, issues from message where id = :id;
-- name: waiting
select d.id, n.name, d.code from delivery d join destination n on n.id = d.destination
  where d.message = :message and d.state = 'parked' order by d.id;
-- name: head_before
-- The head of the lane that a delivery waits in, when that is another.
select h.id, h.message, h.state, h.code from delivery d join delivery h on h.patient = d.patient
    and h.destination = d.destination and h.seq < d.seq and h.state in ('queued', 'sending', 'unknown', 'retry', 'parked')
  where d.id = :id and d.state in ('queued', 'sending', 'unknown', 'retry', 'parked') order by h.seq limit 1;
-- name: delivery_states
select state, count(*) from delivery where message = :message group by state order by state;
-- name: deliveries
select d.id, n.name, d.document, d.seq, d.state, d.code, d.level, d.attempts, d.due_at, d.deadline, d.remote_id, d.sent_at
  from delivery d join destination n on n.id = d.destination where d.message = :message order by d.id;
-- name: attempts
select n, started_at, ended_at, result, code from attempt where delivery = :delivery order by n;
-- name: documents
select id, series, version, kind, target, bundle, identifier, media_type, sha256, status, replaces from document
  where message = :message order by id;
-- name: document
select id, series, version, kind, target, bundle, identifier, media_type, sha256, status, replaces from document where id = :id;
-- name: envelope
select received_at, transport, peer, answer from envelope where id = :id;
-- name: log_about
select at, what, about, moves, who, seq from log where about = :about order by writer, seq;

-- Audit -----------------------------------------------------------------------------------------------------

-- name: audited
select seq, at, about, moves, who from log where what = 'audit' and seq < :before and at >= :since
  and (:who = '' or who = :who) and (cast(:about as bigint) = 0 or about = :about) order by seq desc limit :most;

-- Search ----------------------------------------------------------------------------------------------------
-- What is sought stands first, and `cross join` keeps it there: the planner would rather begin with a feed or a time.

-- name: newest_in_state
select received_at, id from message where feed = :feed and state = :state and received_at >= :since
  and (received_at, id) < (:at, :before) order by received_at desc, id desc limit :most;
-- name: newest_with_parked_delivery
select distinct m.received_at, m.id from delivery d cross join message m
  where m.id = d.message and d.state = 'parked' and d.state in ('queued', 'sending', 'unknown', 'retry', 'awaiting', 'parked')
    and (:feed = '' or m.feed = :feed) and m.received_at >= :since and (m.received_at, m.id) < (:at, :before)
  order by m.received_at desc, m.id desc limit :most;
-- name: received_at_or_before
select received_at from message where id <= :id order by id desc limit 1;
-- name: newest_with_property
select m.id from property p cross join message m where m.id = p.message and p.token = :token and p.message < :before
    and (:feed = '' or m.feed = :feed) and m.received_at >= :since and m.received_at < :until
    and (:state = '' or m.state = :state or (:state = 'parked' and exists (
      select 1 from delivery d where d.message = m.id and d.state = 'parked')))
  order by p.message desc limit :most;
-- name: newest_of_identity
select m.id from identity i cross join message m where m.patient = i.patient and i.token = :token and m.id < :before
    and (:feed = '' or m.feed = :feed) and m.received_at >= :since and m.received_at < :until
    and (:state = '' or m.state = :state or (:state = 'parked' and exists (
      select 1 from delivery d where d.message = m.id and d.state = 'parked')))
  order by m.id desc limit :most;
-- name: newest_with_remote_id
select distinct m.id from delivery r cross join message m
  where m.id = r.message and r.remote_id = :remote_id and r.remote_id <> '' and m.id < :before
    and (:feed = '' or m.feed = :feed) and m.received_at >= :since and m.received_at < :until
    and (:state = '' or m.state = :state or (:state = 'parked' and exists (
      select 1 from delivery d where d.message = m.id and d.state = 'parked')))
  order by m.id desc limit :most;

-- Accounts --------------------------------------------------------------------------------------------------

-- name: tallies
select feed, what, state, cast(sum(n) as bigint) from tally group by feed, what, state;
-- name: last_row
-- Every row with a smaller id is there.
select max(id) from (select max(id) as id from envelope union all select max(id) from message union all select max(id) from delivery) u;
-- name: count_envelopes
select feed, count(*) from envelope where id > :after and id <= :to group by feed;
-- name: count_messages
select feed, state, count(*) from message where id > :after and id <= :to group by feed, state;
-- name: count_deliveries
select destination, state, level, count(*) from delivery where id > :after and id <= :to group by destination, state, level;
-- name: open_messages_between
select id from message where id > :after and id <= :to and state in ('stored', 'held', 'parked');
-- name: open_deliveries_between
select id from delivery where id > :after and id <= :to
  and state in ('queued', 'sending', 'unknown', 'retry', 'awaiting', 'parked');
-- name: count_these_messages
select feed, state, count(*) from message where id in (:each) group by feed, state;
-- name: count_these_deliveries
select destination, state, level, count(*) from delivery where id in (:each) group by destination, state, level;
-- name: overdue
select n.name, count(*) from delivery d left join destination n on n.id = d.destination
  where d.state in ('queued', 'sending', 'unknown', 'retry', 'awaiting', 'parked') and d.deadline < :now
  group by n.name order by n.name;
-- name: parked_by_deliveries
-- Messages of which deliveries are parked and which are not parked themselves.
select count(distinct d.message) from delivery d join message m on m.id = d.message where m.state <> 'parked'
  and d.state = 'parked' and d.state in ('queued', 'sending', 'unknown', 'retry', 'awaiting', 'parked');
-- name: oldest_in_state
select received_at from message where feed = :feed and state = :state order by received_at limit 1;
-- name: oldest_by_delivery
select o.state, m.received_at from (select state, min(message) as message from delivery
  where state in ('queued', 'sending', 'unknown', 'retry', 'awaiting', 'parked') group by state) o
  join message m on m.id = o.message;
-- name: lanes_held
select n.name, count(distinct d.patient) from delivery d left join destination n on n.id = d.destination
  where d.state = 'parked' and d.state in ('queued', 'sending', 'unknown', 'retry', 'awaiting', 'parked') group by n.name;
-- name: envelopes_wrong
-- C2
select count(*) from envelope e where e.id > :after and e.id <= :to
  and e.messages <> (select count(*) from message m where m.envelope = e.id);
-- name: fanout_wrong
-- C3, as the next
select count(*) from message m where m.id > :after and m.id <= :to
  and m.fanout <> (select count(*) from delivery d where d.message = m.id);
-- name: fanout_wrong_of_new
select count(*) from message m where m.id in (select distinct n.message from delivery n where n.id > :after and n.message <= :after)
  and m.fanout <> (select count(*) from delivery d where d.message = m.id);
-- name: messages_forgotten
-- C5, as the next three
-- A message that waits for its turn is not forgotten: one of the same patient is before it, or some are in hand.
select count(*) from message m where m.due_at < :limit and not exists (select 1 from message h where h.due_at >= :limit and h.starts > 0)
  and not exists (select 1 from message o where o.patient = m.patient and o.state in ('stored', 'held') and o.state = 'stored'
    and o.id < m.id and o.due_at >= :limit);
-- name: messages_without_time
select count(*) from message where state in ('stored', 'held') and due_at is null;
-- name: lanes_forgotten
select n.name, count(*) from lane l left join destination n on n.id = l.destination where l.next_at < :limit group by n.name;
-- name: awaiting_forgotten
select count(*) from delivery where state = 'awaiting'
  and state in ('queued', 'sending', 'unknown', 'retry', 'awaiting', 'parked') and (due_at is null or due_at < :limit);
-- name: lanes_wrong
-- A lane whose head nobody would ever look at: its depth or next time is not what its deliveries say.
select (select count(*) from (
    select o.patient, o.destination, min(o.seq) as seq, count(*) as depth from delivery o
    where o.state in ('queued', 'sending', 'unknown', 'retry', 'parked') group by o.patient, o.destination) h
  join delivery d on d.patient = h.patient and d.destination = h.destination and d.seq = h.seq
    and d.state in ('queued', 'sending', 'unknown', 'retry', 'parked')
  left join lane l on l.patient = h.patient and l.destination = h.destination
  where l.depth is distinct from h.depth or l.next_at is distinct from case d.state when 'parked' then null else d.due_at end
    or (d.state <> 'parked' and d.due_at is null))
  + (select count(*) from lane l where l.depth <> 0 and not exists (select 1 from delivery d where d.patient = l.patient
    and d.destination = l.destination and d.state in ('queued', 'sending', 'unknown', 'retry', 'parked')));
-- name: parked_without_task
-- C6, as the next two
select count(*) from message m where m.feed = :feed and m.state = 'parked' and not exists (
  select 1 from task t where t.what = 'message' and t.about = m.id and t.name = '' and t.closed_at is null);
-- name: parked_deliveries_without_task
select count(*) from delivery d where d.state = 'parked'
  and d.state in ('queued', 'sending', 'unknown', 'retry', 'awaiting', 'parked') and not exists (
  select 1 from task t where t.what = 'delivery' and t.about = d.id and t.name = '' and t.closed_at is null);
-- name: tasks_of_nothing_parked
select count(*) from task t where t.closed_at is null and (
  t.what = 'message' and not exists (select 1 from message m where m.id = t.about and m.state = 'parked')
  or t.what = 'delivery' and not exists (select 1 from delivery d where d.id = t.about and d.state = 'parked'));
-- name: tasks_without_time
-- C5 of tasks: each is looked at again, and none lies behind its time.
select count(*) from task where closed_at is null and (next_at is null and holder = '' or next_at < :limit);

-- Tasks -----------------------------------------------------------------------------------------------------

-- name: add_task
insert into task (id, what, about, name, cause, queue, severity, opened_at, deadline, next_at)
  values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
-- name: add_parked_task
-- A parked delivery keeps its own deadline, where that is the earlier one.
insert into task (id, what, about, cause, queue, severity, opened_at, deadline, next_at)
  values (:id, :what, :about, :cause, :queue, :severity, :at,
    coalesce((select d.deadline from delivery d where d.id = :about and :what = 'delivery' and d.deadline < :deadline), :deadline), :next_at);
-- name: open_task
select id, severity, deadline from task where what = :what and about = :about and name = :name and closed_at is null;
-- name: sharpen_task
update task set severity = :severity, deadline = :deadline where id = :id and closed_at is null;
-- name: task_now
select what, about, name, cause, queue, severity, deadline, holder from task where id = :id and closed_at is null;
-- name: end_task
update task set closed_at = :at, closed_as = :as_what, next_at = null where id = :id and closed_at is null;
-- name: end_parked_task
update task set closed_at = :at, closed_as = :as_what, next_at = null
  where what = :what and about = :about and name = '' and closed_at is null;
-- name: take_task
update task set holder = :who, next_at = :next_at where id = :id and closed_at is null and holder in ('', :who);
-- name: due_tasks
select id, cause, queue, severity, holder from task where next_at <= :now /* held id */ order by next_at limit :most;
-- name: move_task
update task set queue = :queue, next_at = :next_at where id = :id and closed_at is null;
-- name: next_fire
select min(at) from (select min(next_at) as at from task where next_at is not null /* held id */
  union all select min(next_at) from clock where next_at is not null /* held patient */
  union all select min(due_at) from letter where due_at is not null /* held patient */) u;
-- name: open_tasks
select id, what, about, name, cause, queue, severity, opened_at, deadline, next_at, holder, closed_at, closed_as from task
  where closed_at is null order by severity, deadline nulls first, id limit :most;
-- name: open_tasks_of_queue
select id, what, about, name, cause, queue, severity, opened_at, deadline, next_at, holder, closed_at, closed_as from task
  where closed_at is null and queue = :queue order by severity, deadline nulls first, id limit :most;
-- name: all_tasks
select id, what, about, name, cause, queue, severity, opened_at, deadline, next_at, holder, closed_at, closed_as from task
  where id < :before and (:queue = '' or queue = :queue) order by id desc limit :most;
-- name: count_tasks
select queue, severity, count(*), count(*) filter (where holder = ''), count(*) filter (where deadline < :now), min(opened_at) from task
  where closed_at is null group by queue, severity order by queue, severity;
-- name: tasks_about
select id, what, about, name, cause, queue, severity, opened_at, deadline, next_at, holder, closed_at, closed_as from task
  where about = :about and about <> 0 order by id;

-- Keeping ---------------------------------------------------------------------------------------------------

-- name: last_key
select max(key_id) from (select max(key_id) as key_id from body union all select max(key_id) from reading) u;

-- Silence ---------------------------------------------------------------------------------------------------

-- name: profile_hours
select feed, hour, counts from profile order by feed, hour;
-- name: listening
select feed, day, count, expected, silent_since from listening order by feed;
-- name: keep_profile_hour
insert into profile (feed, hour, counts) values (?, ?, ?)
  on conflict (feed, hour) do update set counts = excluded.counts;
-- name: keep_listening
insert into listening (feed, day, count, expected, silent_since) values (?, ?, ?, ?, ?)
  on conflict (feed) do update set day = excluded.day, count = excluded.count, expected = excluded.expected,
    silent_since = excluded.silent_since;
-- name: gaps
select feed, series, first, last, seen_at, told from gap order by feed, series, first;
-- name: drop_gaps
delete from gap where feed = :feed;
-- name: add_gap
insert into gap (feed, series, first, last, seen_at, told) values (?, ?, ?, ?, ?, ?);
-- name: log_mac
select mac from log where writer = :writer and seq = :seq;
-- name: any_under
select 1 from body where key_id = :key union all select 1 from reading where key_id = :key limit 1;
-- name: raw_page
-- What expires, by id; is something of it open?
select b.id, exists (select 1 from message m where m.envelope = b.id and (m.state in ('stored', 'held', 'parked')
    or exists (select 1 from delivery d where d.message = m.id and d.state in ('queued', 'sending', 'unknown', 'retry', 'awaiting', 'parked'))))
  from body b where b.key_id = :key and b.id > :after order by b.id limit :most;
-- name: document_page
select b.id, o.kind,
    (select max(d.sent_at) from delivery d where d.message = o.message and d.document = b.id),
    exists (select 1 from delivery d where d.message = o.message and d.document = b.id and d.state in ('queued', 'sending', 'unknown', 'retry', 'awaiting', 'parked'))
  from body b left join document o on o.id = b.id
  where b.key_id = :key and b.id > :after order by b.id limit :most;
-- name: episode_page
select r.id, r.patient, r.episode from reading r where r.key_id = :key and r.id > :after order by r.id limit :most;
-- name: newest_of_episode
select key_id from reading where patient = :patient and episode = :episode order by id desc limit 1;
-- name: busy_patients
select patient from message where state in ('stored', 'held')
union select m.patient from task t join message m on m.id = t.about where t.what = 'message' and t.closed_at is null
union select patient from delivery where state in ('queued', 'sending', 'unknown', 'retry', 'awaiting', 'parked')
union select patient from clock where state = 'running';
-- name: raw_open_under
-- Is anything open under this key? Looked for from what is open, which is the smaller part: hence the cross joins, whose
-- order stays, and the plus, which keeps the index of keys out of it.
select 1 from message m cross join body b where m.state in ('stored', 'held') and b.id = m.envelope and +b.key_id = :key
union all select 1 from task t cross join message m cross join body b
  where t.what = 'message' and t.closed_at is null and m.id = t.about and b.id = m.envelope and +b.key_id = :key
union all select 1 from delivery d cross join message m cross join body b
  where d.state in ('queued', 'sending', 'unknown', 'retry', 'awaiting', 'parked')
    and m.id = d.message and b.id = m.envelope and +b.key_id = :key
limit 1;
-- name: document_open_under
select 1 from delivery d cross join body b where d.state in ('queued', 'sending', 'unknown', 'retry', 'awaiting', 'parked')
  and b.id = d.document and +b.key_id = :key limit 1;
-- name: episode_open_under
select 1 from message m cross join reading r where m.state in ('stored', 'held') and r.patient = m.patient and +r.key_id = :key
union all select 1 from task t cross join message m cross join reading r
  where t.what = 'message' and t.closed_at is null and m.id = t.about and r.patient = m.patient and +r.key_id = :key
union all select 1 from delivery d cross join reading r where d.state in ('queued', 'sending', 'unknown', 'retry', 'awaiting', 'parked')
  and r.patient = d.patient and +r.key_id = :key
limit 1;
-- name: stored_body
select key_id, data from body where id = :id;
-- name: stored_reading
select key_id, items from reading where id = :id;
-- name: reclose_body
update body set key_id = :key_id, data = :data where id = :id;
-- name: reclose_reading
update reading set key_id = :key_id, items = :data where id = :id;
-- name: clear_bodies
update body set key_id = :purged, data = x'' where id in (select id from body where key_id = :key limit :most);
-- name: clear_readings
delete from reading where id in (select id from reading where key_id = :key limit :most);
-- name: unencrypted_body
-- Of schema 1: its row, its table, when it came and of what type it is.
select b.id, b.data, case when e.id is null then 'document' else 'envelope' end,
    coalesce(e.received_at, m.received_at, 0), coalesce(o.kind, '')
  from body b left join envelope e on e.id = b.id left join document o on o.id = b.id left join message m on m.id = o.message
  where b.key_id = 0 and b.id > :after order by b.id limit :most;
-- name: unencrypted_reading
select r.id, r.items, 'reading', coalesce(m.received_at, 0), '' from reading r left join message m on m.id = r.message
  where r.key_id = 0 and r.id > :after order by r.id limit :most;
-- name: property_page
-- Tokens in their order; is the body gone of what each finds?
select p.token, p.message, case when b.key_id >= 0 then 0 else 1 end from property p left join message m on m.id = p.message
  left join body b on b.id = m.envelope
  where (p.token, p.message) > (:token, :message) order by p.token, p.message limit :most;
-- name: property_walk
select token, message from property where (token, message) > (:token, :about) order by token, message limit :most;
-- name: identity_walk
select token, patient from identity where (token, patient) > (:token, :about) order by token, patient limit :most;
-- name: patient_page
select p.id, not (exists (select 1 from reading r where r.patient = p.id)
    or exists (select 1 from message m join body b on b.id = m.envelope where m.patient = p.id and b.key_id >= 0)
    or exists (select 1 from message m where m.patient = p.id and m.state in ('stored', 'held', 'parked'))
    or exists (select 1 from lane l where l.patient = p.id and l.depth > 0)
    or exists (select 1 from clock c where c.patient = p.id and c.state || '' = 'running')
    or exists (select 1 from patient q where q.merged_into = p.id))
  from patient p where p.id > :after order by p.id limit :most;
-- name: patient_is_needed
select 1 where exists (select 1 from reading r where r.patient = :id)
  or exists (select 1 from message m join body b on b.id = m.envelope where m.patient = :id and b.key_id >= 0)
  or exists (select 1 from message m where m.patient = :id and m.state in ('stored', 'held', 'parked'))
  or exists (select 1 from lane l where l.patient = :id and l.depth > 0)
  or exists (select 1 from clock c where c.patient = :id and c.state || '' = 'running')
  or exists (select 1 from patient q where q.merged_into = :id);
-- name: drop_property
delete from property where token = :token and message = :about;
-- name: drop_identity
delete from identity where token = :token and patient = :about;
-- name: drop_lanes_of
delete from lane where patient = :id and depth = 0;
-- name: drop_patient
delete from patient where id = :id;
-- name: patients_of_token
select patient from identity where token = :token
union select m.patient from property p join message m on m.id = p.message where p.token = :token and p.kind = 2;
-- name: merged_with
select id from patient where merged_into = :id union select merged_into from patient where id = :id and merged_into is not null;
-- name: messages_of_patient
select id from message where patient = :id;
-- name: open_of_patient
select count(*) from message m left join delivery d on d.message = m.id and d.state in ('queued', 'sending', 'unknown', 'retry', 'awaiting', 'parked')
  where m.patient = :id and (m.state in ('stored', 'held', 'parked') or d.id is not null);
-- name: envelopes_of_patient
select distinct m.envelope, exists (select 1 from message o where o.envelope = m.envelope and o.patient <> m.patient)
  from message m where m.patient = :id;
-- name: raw_open_of
select 1 from message m where m.envelope = :id and (m.state in ('stored', 'held', 'parked')
  or exists (select 1 from delivery d where d.message = m.id and d.state in ('queued', 'sending', 'unknown', 'retry', 'awaiting', 'parked'))) limit 1;
-- name: documents_of_patient
select id from document where message in (select id from message where patient = :id);
-- name: hide_series_of
update document set series = randomblob(32), episode = x'' where message in (select id from message where patient = :id);
-- name: drop_readings_of
delete from reading where patient = :id;
-- name: drop_clocks_of
delete from clock where patient = :id;
-- name: may_have_left
select id from delivery where state in ('queued', 'retry', 'sending')
  and state in ('queued', 'sending', 'unknown', 'retry', 'awaiting', 'parked') limit :most;
-- name: counted_for_backup
select (select count(*) from message), (select count(*) from delivery);
-- name: body_page
select b.id, case when exists (select 1 from envelope e where e.id = b.id) then 'envelope' else 'document' end, b.key_id, b.data
  from body b where b.id > :after order by b.id limit :most;
-- name: reading_page
select id, 'reading', key_id, items from reading where id > :after order by id limit :most;

-- Clocks ----------------------------------------------------------------------------------------------------

-- name: clocks_of
select id, kind, destination, rank, started_at, due_at, ladder, next_at, step, state, met, entry, place from clock
  where patient = :patient and episode = :episode and name = :name order by id;
-- name: add_clock
insert into clock (id, name, patient, kind, episode, destination, needs, rank, started_at, due_at, ladder, next_at, state, met,
  entry, place) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);
-- name: begin_clock
update clock set needs = :needs, rank = :rank, started_at = :started_at, due_at = :due_at, ladder = :ladder,
  next_at = :next_at, step = 0, state = :state, met = :met where id = :id;
-- name: move_clock
update clock set started_at = :started_at, due_at = :due_at, ladder = :ladder, rank = :rank, next_at = :next_at,
  state = :state where id = :id;
-- name: place_clock
update clock set place = :place where id = :id;
-- name: settle_clock
update clock set state = :state, next_at = :next_at, met = :met where id = :id;
-- name: step_clock
update clock set step = :step, next_at = :next_at, state = :state where id = :id;
-- name: due_clocks
select id, name, step, ladder, due_at, state, patient from clock where next_at <= :now /* held patient */ order by next_at limit :most;
-- name: met_already
-- The newest version that went to a recipient, where it has arrived.
select d.id, d.sent_at from document o join delivery d on d.message = o.message and d.document = o.id
  where o.patient = :patient and o.episode = :episode and o.kind = :kind and o.bundle = 'document' and o.status = 'final'
    and d.destination = :destination and d.state in ('done', 'awaiting') and d.level >= :needs
    and not exists (select 1 from document p join delivery e on e.message = p.message and e.document = p.id
      where p.series = o.series and p.version > o.version and e.destination = d.destination)
  order by d.id desc limit 1;
-- name: clocks_of_deliveries
select d.id, d.state, d.level, o.status = 'final' and not exists (select 1 from document p
    join delivery e on e.message = p.message and e.document = p.id
    where p.series = o.series and p.version > o.version and e.destination = d.destination),
  c.id, c.name, c.state, c.due_at, c.ladder, c.step, c.needs, c.met
  from delivery d join document o on o.id = d.document
  join clock c on c.patient = o.patient and c.episode = o.episode and c.kind = o.kind and c.destination = d.destination
  where d.id in (:each) and o.bundle = 'document' and c.needs > 0 and c.state in ('running', 'missed', 'met', 'late');
-- name: clocks_to_meet
select id, state, started_at, due_at, ladder, step, met from clock where patient = :patient and name = :name and needs = 0
  and (state in ('running', 'missed', 'met', 'late') or (state = 'excluded' and met = -1));
-- name: clocks_by_word
select distinct name from clock where patient = :patient and needs = 0;
-- name: clock_now
select state from clock where id = :id;
-- name: add_word
insert into word (patient, name, told_by, says, at) values (?, ?, ?, ?, ?)
  on conflict (patient, name, told_by) do update set says = excluded.says, at = excluded.at;
-- name: drop_word
delete from word where patient = :patient and name = :name and told_by = :by;
-- name: words_of
select says, at from word where patient = :patient and name = :name;
-- name: drop_words_of
delete from word where patient = :id;
-- name: end_tasks_of_clock
update task set closed_at = :at, closed_as = :as_what, next_at = null
  where what = 'clock' and about = :about and closed_at is null and severity in ('normal', 'high', :even);
-- name: unclaimed_of
select id, severity, queue from task where what = :what and about = :about and closed_at is null and holder = ''
  order by id desc limit 1;
-- name: tell_task
update task set queue = :queue, severity = :severity, next_at = :next_at where id = :id and closed_at is null;
-- name: see_watched
insert into watch (patient, seen, sender, due_at, turn) values (?, ?, ?, ?, ?)
  on conflict (patient) do update set seen = watch.seen | excluded.seen,
    sender = case when watch.sender = excluded.sender then watch.sender else '' end,
    due_at = coalesce(excluded.due_at, watch.due_at), turn = watch.turn + 1;
-- name: watched_as
select sender, seen from watch where patient = :patient;
-- name: watched_alone
-- What was heard of patients who share no NHS number and were merged with nobody.
select p.id, coalesce(w.sender, ''), coalesce(w.seen, 0) from patient p left join watch w on w.patient = p.id
  where p.id in (:each) and p.merged_into is null and not exists (select 1 from patient q where q.merged_into = p.id)
    and not exists (select 1 from identity i join identity j on j.token = i.token and j.kind = 4 and j.patient <> i.patient
      where i.patient = p.id and i.kind = 4);
-- name: watched_due
select patient, due_at, turn from watch where due_at is not null /* held patient */ order by due_at limit :most;
-- name: watched_done
update watch set due_at = null where patient = :patient and turn = :turn;
-- name: same_number
select distinct j.patient from identity i join identity j on j.token = i.token where i.patient = :patient and i.kind = 4 and j.kind = 4;
-- name: heard_of
select r.id, r.document, r.episode, r.event_at, r.sent_at, r.key_id, r.items, m.mapping from reading r
  join message m on m.id = r.message where r.patient = :patient;
-- name: clocks_seen
select c.episode, c.due_at, c.name, coalesce(n.name, ''), c.state from clock c left join destination n on n.id = c.destination
  where c.patient = :patient order by c.id;
-- name: deliveries_seen
select o.episode, d.sent_at, o.kind, n.name, d.state, d.level from document o
  join delivery d on d.message = o.message and d.document = o.id join destination n on n.id = d.destination
  where o.patient = :patient and o.bundle = 'document' order by d.id;
-- name: notices_of
select name, subject, number, said from notice where patient = :patient;
-- name: keep_notice
insert into notice (patient, name, subject, number, said) values (?, ?, ?, ?, ?)
  on conflict (patient, name, subject) do update set number = excluded.number, said = excluded.said;
-- name: drop_watch_of
delete from watch where patient = :id;
-- name: drop_notices_of
delete from notice where patient = :id;
-- name: clocks_of_patient
-- They are those of the identifier that stays, where some were merged.
with recursive up (id, merged_into) as (
    select id, merged_into from patient where id = (select patient from message where id = :message)
    union select p.id, p.merged_into from up join patient p on p.id = up.merged_into)
  select c.id, c.name, c.kind, coalesce(n.name, ''), c.started_at, c.due_at, c.next_at, c.step, c.ladder, c.state, c.place
  from up join clock c on c.patient = up.id left join destination n on n.id = c.destination where up.merged_into is null order by c.id;
-- name: count_clocks
select name, state, count(*) from clock group by state, name order by name, state;
-- name: clocks_forgotten
-- C5 of clocks
select count(*) from clock where next_at < :limit;

-- Figures without identities ---------------------------------------------------------------------------------

-- name: figures
select mapping, kind, what, name, said, cast(sum(n) as bigint) from figure where month = :month
  group by mapping, kind, what, name, said order by mapping, kind, what, name, said;
-- name: figure_names
select distinct mapping, name from figure where month = :month and what in ('code', 'field');
-- name: feeds_of_messages
select distinct feed, state from tally where what = 'message';
-- name: figures_of_deliveries
-- How far each letter got at each recipient, and whether a person had to look, or the receiver said no after all.
select d.destination, o.kind, d.state, d.level,
    case when exists (select 1 from log l where l.about = d.id and l.what = 'delivery' and l.moves like '%>parked%')
      or exists (select 1 from task t where t.about = d.id and t.what = 'acknowledgement' and t.cause <> 'D960')
      then 1 else 0 end as refused, count(*)
  from message m join delivery d on d.message = m.id join document o on o.id = d.document
  where m.feed = :feed and m.state = :state and m.received_at >= :since and m.received_at < :until and o.bundle <> 'transaction'
  group by 1, 2, 3, 4, 5;
-- name: figures_of_clocks
-- When one was met is in the log; whose it is, its patient's first message says.
select c.name, c.kind, c.destination, c.state, c.started_at, c.due_at,
    (select max(l.at) from log l where l.about = c.id and l.what = 'clock' and (l.moves like '%>met%' or l.moves like '%>late%')),
    coalesce((select m.feed from message m where m.patient = c.patient order by m.id limit 1), '')
  from clock c where c.started_at >= :since and c.started_at < :until and c.state <> 'cancelled';
