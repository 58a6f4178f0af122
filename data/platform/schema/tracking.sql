-- Schema "track" in pg-track: scan events, parcel cards, deduplication.
--
-- Owner: Tracking.  Decisions behind it: ADR-0007 (partition by day),
-- ADR-0012 (the parcel is the key).  The page on the data dictionary is made
-- from the comments of this file, so write them for readers, not for the parser.
--
-- Conventions
--   * every time is timestamptz, in UTC; local time is a matter of display
--   * observed_at: clock of the device.  recorded_at: our clock.
--   * nothing here is the truth: it can be rebuilt from scan.enriched.v2 (21
--     days) and from silo (400 days)

begin;

create schema if not exists track;

-- ---------------------------------------------------------------- scan_event

create table track.scan_event (
    parcel_id    char(14)     not null,
    recorded_at  timestamptz  not null,
    observed_at  timestamptz  not null,
    event_code   char(3)      not null,
    station      text         not null,
    device       text         not null,
    flags        smallint     not null default 0,
    attributes   jsonb,

    -- No unique constraint over all days is possible on a partitioned table.
    -- Duplicates are removed by scanhub within ten minutes; what slips through
    -- is removed when the card is recomputed.
    primary key (parcel_id, recorded_at, device, event_code)
) partition by range (recorded_at);

comment on column track.scan_event.flags is
    'Bits: 1 clock_suspect, 2 late, 4 hidden, 8 bulk, 16 weak_proof';

-- The default partition has to be empty.  A row in it means that tomorrow's
-- partition was missing at midnight; the alert "default_partition_rows > 0" pages.
create table track.scan_event_default partition of track.scan_event default;

-- For "what happened at this station in the last hour", used by depots.
-- A BRIN index is 400 times smaller than a B-tree here since rows arrive in order.
create index scan_event_recorded_brin on track.scan_event using brin (recorded_at);

-- --------------------------------------------------------------- parcel_card

create table track.parcel_card (
    parcel_id      char(14)     primary key,
    version        integer      not null default 1,
    home_region    text         not null check (home_region in ('eu-south', 'ca-east', 'ap-north')),
    first_seen     timestamptz  not null,
    last_seen      timestamptz  not null,
    milestones     jsonb        not null default '[]',
    recent         jsonb        not null default '[]',
    promise_day    date,
    promise_conf   numeric(3,2) check (promise_conf between 0 and 1),
    delivered_at   timestamptz,

    constraint nine_milestones check (jsonb_array_length(milestones) <= 9),
    -- below 0.55 we stay silent, see PRM-3308
    constraint no_weak_promise check (promise_day is null or promise_conf >= 0.55)
) with (
    fillfactor = 80,                            -- leaves room for HOT updates
    autovacuum_vacuum_scale_factor = 0.01       -- forty million updates a day
);

-- Partial: parcels that have been delivered are asked for by day, others by id only.
create index parcel_card_delivered_idx on track.parcel_card (delivered_at)
    where delivered_at is not null;

-- ------------------------------------------------------------------ functions

-- Make partitions for today and the next n days.  Idempotent; run by the job
-- partition-keeper at 06:00 UTC, and by hand when TRK-2312 has fired:
--     select track.ensure_partitions(7);
create or replace function track.ensure_partitions(days integer default 7)
returns integer
language plpgsql as $$
declare
    d     date;
    name  text;
    made  integer := 0;
begin
    -- "current_date + n" and not arithmetic on year and month: on 2023-01-01 a
    -- version of this function looked for the partition of 2022-01-01.
    for d in select (now() at time zone 'utc')::date + g from generate_series(0, days) g loop
        name := format('scan_event_%s', to_char(d, 'YYYYMMDD'));
        if to_regclass('track.' || name) is null then
            execute format(
                'create table track.%I partition of track.scan_event for values from (%L) to (%L)',
                name, d::timestamp at time zone 'utc', (d + 1)::timestamp at time zone 'utc');
            made := made + 1;
        end if;
    end loop;
    return made;
end $$;

-- Detach and drop what is older than the retention (policies/data-retention.md:
-- 400 days).  Detaching concurrently does not block readers; dropping is a
-- matter of milliseconds.
create or replace procedure track.drop_expired(keep_days integer default 400)
language plpgsql as $$
declare
    part record;
begin
    if keep_days < 400 then
        raise exception 'retention is 400 days by policy, % is refused', keep_days;
    end if;
    for part in
        select c.relname, to_date(right(c.relname, 8), 'YYYYMMDD') as day
          from pg_inherits i join pg_class c on c.oid = i.inhrelid
         where i.inhparent = 'track.scan_event'::regclass
           and c.relname ~ '^scan_event_\d{8}$'
    loop
        continue when part.day >= (now() at time zone 'utc')::date - keep_days;
        execute format('alter table track.scan_event detach partition track.%I', part.relname);
        execute format('drop table track.%I', part.relname);
        commit;
        raise notice 'dropped %', part.relname;
    end loop;
end $$;

-- Store a card if nobody else has in the meantime.  Returns false on a conflict
-- (TRK-2309); the projector then reads the card anew and tries again.
create or replace function track.put_card(card track.parcel_card, expected integer)
returns boolean
language sql as $$
    with done as (
        insert into track.parcel_card as c
        select (card).*
        on conflict (parcel_id) do update
           set version = expected + 1,
               last_seen = greatest(c.last_seen, excluded.last_seen),
               milestones = excluded.milestones,
               recent = excluded.recent,
               promise_day = excluded.promise_day,
               promise_conf = excluded.promise_conf,
               -- a delivery is never taken back by a late scan
               delivered_at = coalesce(c.delivered_at, excluded.delivered_at)
         where c.version = expected
        returning 1
    )
    select exists (select 1 from done);
$$;

-- ---------------------------------------------------------------------- roles

grant usage on schema track to trackline, scanhub, promise;
grant select, insert on track.scan_event to scanhub;
grant select, insert, update on track.parcel_card to trackline;
grant select on track.parcel_card to promise;
-- Nobody may delete.  Deletion is by partition (drop_expired) or by the job
-- "forget", which has a role of its own.

commit;
