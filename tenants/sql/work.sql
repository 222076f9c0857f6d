-- The queue of claimed work. Everything here runs in one short transaction and can run twice.

-- A tenant's place in a queue. A lane that stands there with this share is only read: its row is the queue's hottest,
-- and an admission must not wait for the claims and settlements that lock it.
CREATE OR REPLACE FUNCTION open_lane(p_tenant uuid, p_queue text, p_weight int, p_head_start int)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM tenants_lane l
                    WHERE l.queue = p_queue AND l.tenant_id = p_tenant
                      AND l.weight = p_weight AND l.head_start = p_head_start) THEN
        INSERT INTO tenants_lane (tenant_id, id, queue, weight, head_start)
            VALUES (p_tenant, uuidv7(), p_queue, p_weight, p_head_start)
            ON CONFLICT (queue, tenant_id) DO UPDATE SET weight = p_weight, head_start = p_head_start
                  WHERE (tenants_lane.weight, tenants_lane.head_start) <> (p_weight, p_head_start);
    END IF;
END $$;

-- Put a unit of work on a queue, in the transaction that writes its job. Runs as the caller, inside its scope.
-- Of a tenant's units those of the lowest p_priority go first.
CREATE OR REPLACE FUNCTION enqueue_work(
    p_tenant uuid, p_id uuid, p_queue text, p_weight int DEFAULT 1, p_priority int DEFAULT 0,
    p_head_start int DEFAULT 0)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM open_lane(p_tenant, p_queue, p_weight, p_head_start);
    INSERT INTO tenants_work (tenant_id, id, queue, priority) VALUES (p_tenant, p_id, p_queue, p_priority);
END $$;

-- The same for many units, in the order of their ids (UUIDv7: the order in which they were made).
CREATE OR REPLACE FUNCTION enqueue_all_work(
    p_tenant uuid, p_ids uuid[], p_queue text, p_weight int, p_priority int DEFAULT 0, p_head_start int DEFAULT 0)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM open_lane(p_tenant, p_queue, p_weight, p_head_start);
    INSERT INTO tenants_work (tenant_id, id, queue, priority) SELECT p_tenant, unnest(p_ids), p_queue, p_priority;
END $$;

-- Claim up to p_max units. Each goes to the tenant with the fewest running for its weight, those claimed here counted,
-- then to the one served longest ago, its head start counted as time that it waited: so nobody waits longer than that
-- for those who paid to go first. Of its units the lowest priority first, then the oldest. With p_most_running no
-- tenant gets more than that many running for each unit of its weight: for a worker whose last places are kept for
-- those who hold few. Returns ids only, in the order of their claims; the caller opens the scope of each tenant.
--
-- Lanes locked by a commit under way are skipped. Where every lane is, one is waited for, while this call holds no
-- other: so nothing back means that nothing waits, and two claims cannot wait for each other.
CREATE OR REPLACE FUNCTION claim_work(
    p_queue text, p_worker text, p_lease interval, p_max int DEFAULT 1, p_most_running int DEFAULT NULL)
RETURNS TABLE (tenant_id uuid, id uuid, attempt smallint)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
-- A queue's statistics are never true for long: probes by index whatever they say, planned once a connection.
SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off
SET enable_hashjoin = off SET enable_mergejoin = off AS $$
DECLARE
    v_waiting uuid[];
    v_lanes uuid[];
BEGIN
    FOR v_try IN 1..20 LOOP
        -- A loose index scan: one probe for each tenant with work waiting, however many rows it has queued.
        WITH RECURSIVE waiting AS (
            (SELECT w.tenant_id FROM tenants_work w
              WHERE w.queue = p_queue AND w.state = 'queued' ORDER BY w.tenant_id LIMIT 1)
            UNION ALL
            SELECT (SELECT w.tenant_id FROM tenants_work w
                     WHERE w.queue = p_queue AND w.state = 'queued' AND w.tenant_id > waiting.tenant_id
                     ORDER BY w.tenant_id LIMIT 1)
              FROM waiting WHERE waiting.tenant_id IS NOT NULL)
        SELECT array_agg(waiting.tenant_id) FROM waiting WHERE waiting.tenant_id IS NOT NULL INTO v_waiting;
        IF v_waiting IS NULL THEN
            RETURN;
        END IF;
        -- No more lanes than units can be needed, and of those the first.
        SELECT array_agg(lane.tenant_id) INTO v_lanes FROM (
            SELECT l.tenant_id FROM tenants_lane l
             WHERE l.queue = p_queue AND l.tenant_id = ANY (v_waiting)
               AND (p_most_running IS NULL OR l.running < p_most_running::float8 * l.weight)
             ORDER BY l.running::float8 / l.weight, l.served_at - make_interval(secs => l.head_start)
             LIMIT p_max FOR UPDATE SKIP LOCKED) lane;
        IF v_lanes IS NULL AND v_try = 1 THEN
            SELECT ARRAY[l.tenant_id] INTO v_lanes FROM tenants_lane l
             WHERE l.queue = p_queue AND l.tenant_id = ANY (v_waiting)
               AND (p_most_running IS NULL OR l.running < p_most_running::float8 * l.weight)
             ORDER BY l.running::float8 / l.weight, l.served_at - make_interval(secs => l.head_start)
             LIMIT 1 FOR UPDATE;
        END IF;
        IF v_lanes IS NULL THEN
            RETURN;
        END IF;
        -- Another statement sees what was committed before the locks were had.
        RETURN QUERY
            WITH candidate AS MATERIALIZED (
                SELECT u.at, (l.running + u.place - 1)::float8 / l.weight AS share,
                       l.served_at - make_interval(secs => l.head_start) AS waits_since, u.place
                  FROM tenants_lane l CROSS JOIN LATERAL (
                       SELECT q.ctid AS at, row_number() OVER (ORDER BY q.priority, q.available_at, q.id) AS place
                         FROM tenants_work q
                        WHERE q.queue = p_queue AND q.tenant_id = l.tenant_id AND q.state = 'queued'
                        ORDER BY q.priority, q.available_at, q.id LIMIT p_max) u
                 WHERE l.queue = p_queue AND l.tenant_id = ANY (v_lanes)
                   AND (p_most_running IS NULL OR l.running + u.place <= p_most_running::float8 * l.weight)
                 ORDER BY share, waits_since, u.place LIMIT p_max),
            free AS MATERIALIZED (
                SELECT w.ctid AS at, c.share, c.waits_since, c.place FROM candidate c JOIN tenants_work w ON w.ctid = c.at
                 WHERE w.state = 'queued' FOR UPDATE OF w SKIP LOCKED),
            claimed AS (
                UPDATE tenants_work w
                   SET state = 'running', attempt = w.attempt + 1, lease_until = clock_timestamp() + p_lease,
                       worker = p_worker
                  FROM free f WHERE w.ctid = f.at
                RETURNING w.tenant_id, w.id, w.attempt, f.share, f.waits_since, f.place),
            served AS (
                UPDATE tenants_lane l SET running = l.running + c.n, served_at = clock_timestamp()
                  FROM (SELECT claimed.tenant_id, count(*) AS n FROM claimed GROUP BY claimed.tenant_id) c
                 WHERE l.queue = p_queue AND l.tenant_id = c.tenant_id)
            SELECT c.tenant_id, c.id, c.attempt::smallint FROM claimed c ORDER BY c.share, c.waits_since, c.place;
        IF FOUND THEN
            RETURN;
        END IF;
    END LOOP;
END $$;

-- Leave the queue: done. False where the lease was lost to another attempt; the caller then writes nothing.
CREATE OR REPLACE FUNCTION finish_work(p_tenant uuid, p_id uuid, p_attempt int)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_queue text;
BEGIN
    DELETE FROM tenants_work w
     WHERE w.tenant_id = p_tenant AND w.id = p_id AND w.attempt = p_attempt AND w.state = 'running'
    RETURNING w.queue INTO v_queue;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE tenants_lane l SET running = greatest(l.running - 1, 0) WHERE l.queue = v_queue AND l.tenant_id = p_tenant;
    RETURN true;
END $$;

-- Units left the queue without telling their lanes: count them down, lane by lane in one order. What is counted down
-- twice, or not at all, `tend_queue` sets right. Nothing is lost with it, so its commit does not wait for the disk.
-- p_left: [{tenant, queue, n}].
CREATE OR REPLACE FUNCTION leave_lanes(p_left jsonb)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM 1 FROM tenants_lane l JOIN jsonb_to_recordset(p_left) AS e (tenant uuid, queue text)
                ON l.queue = e.queue AND l.tenant_id = e.tenant
      ORDER BY l.queue, l.tenant_id FOR UPDATE OF l;
    UPDATE tenants_lane l SET running = greatest(l.running - e.n, 0)
      FROM jsonb_to_recordset(p_left) AS e (tenant uuid, queue text, n int)
     WHERE l.queue = e.queue AND l.tenant_id = e.tenant;
END $$;

-- Give a claimed unit back, to be claimed again after a delay, or for ever ('dead') with the reason.
CREATE OR REPLACE FUNCTION return_work(p_tenant uuid, p_id uuid, p_attempt int, p_state text, p_delay interval, p_reason text)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_queue text;
BEGIN
    UPDATE tenants_work w
       SET state = p_state, available_at = clock_timestamp() + p_delay, lease_until = NULL, reason = p_reason
     WHERE w.tenant_id = p_tenant AND w.id = p_id AND w.attempt = p_attempt AND w.state = 'running'
    RETURNING w.queue INTO v_queue;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE tenants_lane l SET running = greatest(l.running - 1, 0) WHERE l.queue = v_queue AND l.tenant_id = p_tenant;
    RETURN true;
END $$;

-- What a delayed unit waited for has come: it is queued now. False where it is not delayed.
CREATE OR REPLACE FUNCTION hasten_work(p_tenant uuid, p_id uuid)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tenants_work w SET state = 'queued', available_at = clock_timestamp()
     WHERE w.tenant_id = p_tenant AND w.id = p_id AND w.state = 'delayed';
    RETURN FOUND;
END $$;

-- Put units of work beside one that stands on the queue already: they take its place in the order, and its lane.
CREATE OR REPLACE FUNCTION enqueue_beside(p_tenant uuid, p_id uuid, p_ids uuid[])
RETURNS bigint LANGUAGE sql AS $$
    WITH placed AS (
        INSERT INTO tenants_work (tenant_id, id, queue, priority, available_at)
            SELECT w.tenant_id, beside.id, w.queue, w.priority, w.available_at
              FROM tenants_work w CROSS JOIN unnest(p_ids) AS beside (id)
             WHERE w.tenant_id = p_tenant AND w.id = p_id
        RETURNING 1)
    SELECT count(*) FROM placed
$$;

-- Set a claimed unit aside until `unpark_work`: it keeps its place and its attempts, and has no lease to run out.
CREATE OR REPLACE FUNCTION park_work(p_tenant uuid, p_id uuid, p_attempt int)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_queue text;
BEGIN
    UPDATE tenants_work w SET state = 'parked', lease_until = NULL
     WHERE w.tenant_id = p_tenant AND w.id = p_id AND w.attempt = p_attempt AND w.state = 'running'
    RETURNING w.queue INTO v_queue;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE tenants_lane l SET running = greatest(l.running - 1, 0) WHERE l.queue = v_queue AND l.tenant_id = p_tenant;
    RETURN true;
END $$;

-- A parked unit is queued again, or given up ('dead') with the reason. False where it is not parked.
CREATE OR REPLACE FUNCTION unpark_work(p_tenant uuid, p_id uuid, p_state text, p_reason text)
RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    UPDATE tenants_work w SET state = p_state, reason = p_reason
     WHERE w.tenant_id = p_tenant AND w.id = p_id AND w.state = 'parked';
    RETURN FOUND;
END $$;

-- Renew the leases of what a worker runs; returns the ids that are still its own. What somebody holds locked is about to
-- end: it is passed over, for two that lock many units in different orders would wait for each other.
CREATE OR REPLACE FUNCTION renew_work(p_worker text, p_ids uuid[], p_lease interval)
RETURNS SETOF uuid LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH free AS MATERIALIZED (
        SELECT w.tenant_id, w.id FROM tenants_work w
         WHERE w.id = ANY (p_ids) AND w.worker = p_worker AND w.state = 'running' FOR UPDATE SKIP LOCKED),
    renewed AS (
        UPDATE tenants_work w SET lease_until = clock_timestamp() + p_lease
          FROM free f WHERE w.tenant_id = f.tenant_id AND w.id = f.id)
    SELECT w.id FROM tenants_work w WHERE w.id = ANY (p_ids) AND w.worker = p_worker AND w.state = 'running'
$$;

-- Units whose lease ran out: their worker died. Ids only; the queue's owner decides what becomes of each.
CREATE OR REPLACE FUNCTION expired_work(p_queue text, p_limit int)
RETURNS TABLE (tenant_id uuid, id uuid, attempt smallint)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT w.tenant_id, w.id, w.attempt::smallint FROM tenants_work w
     WHERE w.queue = p_queue AND w.state = 'running' AND w.lease_until < clock_timestamp()
     ORDER BY w.lease_until LIMIT p_limit
$$;

-- Delayed units whose time has come are queued again, drifted lane counters set right; returns what the queue holds.
CREATE OR REPLACE FUNCTION tend_queue(p_queue text)
RETURNS TABLE (queued bigint, running bigint, dead bigint, oldest_seconds float8)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_tenant uuid;
BEGIN
    UPDATE tenants_work w SET state = 'queued'
     WHERE w.queue = p_queue AND w.state = 'delayed' AND w.available_at <= clock_timestamp();
    -- One snapshot sees a claim's unit and counter together, so what differs in it has drifted, or is about to be told
    -- (`leave_lanes`). It is counted again under the lane's lock; a lane that is locked is left to the next time.
    FOR v_tenant IN
        SELECT k.tenant_id FROM tenants_lane k
          LEFT JOIN tenants_work w ON w.tenant_id = k.tenant_id AND w.queue = k.queue AND w.state = 'running'
         WHERE k.queue = p_queue GROUP BY k.tenant_id, k.running HAVING k.running <> count(w.id) ORDER BY k.tenant_id
    LOOP
        PERFORM 1 FROM tenants_lane l WHERE l.queue = p_queue AND l.tenant_id = v_tenant FOR UPDATE SKIP LOCKED;
        CONTINUE WHEN NOT FOUND;
        UPDATE tenants_lane l
           SET running = (SELECT count(*) FROM tenants_work w
                           WHERE w.queue = p_queue AND w.tenant_id = v_tenant AND w.state = 'running')
         WHERE l.queue = p_queue AND l.tenant_id = v_tenant;
    END LOOP;
    RETURN QUERY SELECT * FROM queue_depth(p_queue);
END $$;

-- What a queue holds, over all tenants: counts and the age of the oldest waiting unit.
CREATE OR REPLACE FUNCTION queue_depth(p_queue text)
RETURNS TABLE (queued bigint, running bigint, dead bigint, oldest_seconds float8)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT count(*) FILTER (WHERE w.state IN ('queued', 'delayed')), count(*) FILTER (WHERE w.state = 'running'),
           count(*) FILTER (WHERE w.state = 'dead'),
           coalesce(extract(epoch FROM clock_timestamp() - min(w.available_at) FILTER (WHERE w.state = 'queued')), 0)::float8
      FROM tenants_work w WHERE w.queue = p_queue
$$;
