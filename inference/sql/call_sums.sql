-- Calls by hour, state and duration: what charts read instead of a million generations.

-- The class of a duration: n for 1.1^(n-1) to 1.1^n milliseconds, so what is read from it is within five per cent. 0 where
-- there is none: lines of batches (no inbox), for which nobody waits, and calls that were not answered.
CREATE OR REPLACE FUNCTION took_class(p_state text, p_inbox text, p_took interval) RETURNS int LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_state <> 'completed' OR p_inbox = '' THEN 0
           ELSE least(250, 1 + floor(ln(greatest(extract(epoch FROM p_took) * 1000, 1)) / ln(1.1)))::int END
$$;

-- Add the calls that have ended since the last time to the sums; returns how many, null where another process does it.
-- A call is stamped when it is settled and seen when that is committed: what ended in the last fifteen seconds waits for
-- the next time, so a settlement would have to take that long to be left out. That is accepted: money is the ledger's.
CREATE OR REPLACE FUNCTION roll_up_calls()
RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_from timestamptz;
    v_to timestamptz := clock_timestamp() - interval '15 seconds';
    v_calls bigint;
BEGIN
    INSERT INTO inference_callmark (id, up_to) SELECT 1, '1970-01-01Z' WHERE NOT EXISTS (SELECT FROM inference_callmark)
        ON CONFLICT DO NOTHING;
    SELECT up_to INTO v_from FROM inference_callmark FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF v_from >= v_to THEN
        RETURN 0;
    END IF;
    WITH fresh AS (
        SELECT g.tenant_id, date_trunc('hour', g.finished_at, 'UTC') AS start, g.state, took_class(g.state, g.inbox, g.finished_at - g.created_at) AS took, count(*) AS calls
          FROM inference_generation g WHERE g.finished_at >= v_from AND g.finished_at < v_to
         GROUP BY 1, 2, 3, 4),
    added AS (
        INSERT INTO inference_callhour AS s (tenant_id, id, start, state, took, calls)
            SELECT tenant_id, uuidv7(), start, state, took, calls FROM fresh
        ON CONFLICT (tenant_id, start, state, took) DO UPDATE SET calls = s.calls + excluded.calls)
    SELECT coalesce(sum(calls), 0) INTO v_calls FROM fresh;
    UPDATE inference_callmark SET up_to = v_to;
    RETURN v_calls;
END $$;

-- Count a tenant's calls that ended since the hour of p_since anew, for who writes calls of the past. As far as the mark:
-- what ended later is not in the sums yet. Waits for a roll-up under way.
CREATE OR REPLACE FUNCTION recount_calls(p_tenant uuid, p_since timestamptz)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_since timestamptz := date_trunc('hour', p_since, 'UTC');
    v_to timestamptz;
BEGIN
    SELECT up_to INTO v_to FROM inference_callmark FOR UPDATE;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    DELETE FROM inference_callhour h WHERE h.tenant_id = p_tenant AND h.start >= v_since;
    INSERT INTO inference_callhour (tenant_id, id, start, state, took, calls)
        SELECT tenant_id, uuidv7(), start, state, took, count(*) FROM (
            SELECT g.tenant_id, date_trunc('hour', g.finished_at, 'UTC') AS start, g.state,
                   took_class(g.state, g.inbox, g.finished_at - g.created_at) AS took
              FROM inference_generation g
             WHERE g.tenant_id = p_tenant AND g.finished_at >= v_since AND g.finished_at < v_to) x
         GROUP BY tenant_id, start, state, took;
END $$;

-- Calls that ended from p_since to p_until by bucket ('hour', 'day'), tenant, state and class of duration: the sums, and
-- what is not in them yet, in one snapshot. Row security says whose; staff see all. Both ends are whole hours, or now.
CREATE OR REPLACE FUNCTION calls_by_time(p_since timestamptz, p_until timestamptz, p_bucket text)
RETURNS TABLE (start timestamptz, tenant_id uuid, state text, took int, calls bigint) LANGUAGE sql STABLE AS $$
    WITH mark AS MATERIALIZED (
        SELECT greatest(p_since, coalesce((SELECT up_to FROM inference_callmark), '1970-01-01Z')) AS up_to)
    SELECT x.start, x.tenant_id, x.state, x.took, sum(x.calls)::bigint FROM (
        SELECT date_trunc(p_bucket, h.start, 'UTC') AS start, h.tenant_id, h.state::text, h.took::int, h.calls
          FROM inference_callhour h WHERE h.start >= p_since AND h.start < p_until
        UNION ALL
        SELECT date_trunc(p_bucket, g.finished_at, 'UTC'), g.tenant_id, g.state::text, took_class(g.state, g.inbox, g.finished_at - g.created_at), 1
          FROM inference_generation g
         WHERE g.finished_at >= (SELECT up_to FROM mark) AND g.finished_at < p_until) x
     GROUP BY 1, 2, 3, 4
$$;
