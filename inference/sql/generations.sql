-- A generation's life: admitted, claimed, settled, many calls in one round trip and one transaction.
-- The app role calls these outside any scope: they open each tenant's scope themselves, transaction-locally, one after
-- the other in the order of the tenants, and end it. Within a tenant, locks are taken in one order (`lock_accounts`), so
-- that no two batches can wait for each other.

CREATE OR REPLACE FUNCTION enter_scope(p_tenant uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_inside text := current_setting('app.tenant_id', true);
BEGIN
    IF coalesce(v_inside, '') NOT IN ('', p_tenant::text) THEN
        RAISE EXCEPTION 'a scope for another tenant is open';
    END IF;
    PERFORM set_config('app.tenant_id', p_tenant::text, true);
END $$;

CREATE OR REPLACE FUNCTION leave_scope() RETURNS void LANGUAGE sql AS $$
    SELECT set_config('app.tenant_id', '', true)
$$;

-- Whether nobody waits for a call: a response whose inbox is none, or a log of its own. Of others the request is not
-- looked at.
CREATE OR REPLACE FUNCTION made_in_background(p_kind text, p_inbox text, p_request jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT p_kind = 'response' AND (p_inbox = '' OR p_inbox LIKE 'events:%') AND p_request @> '{"background": true}'
$$;

-- Tell the tenant's webhooks how a response that was made in the background ended.
CREATE OR REPLACE FUNCTION tell_of_response(p_id uuid, p_ending text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_id text := 'resp_' || replace(p_id::text, '-', '');
BEGIN
    PERFORM emit_webhook(uuidv7(), 'response.' || p_ending, v_id, json_build_object('id', v_id));
END $$;

-- Admit: for each call the row, its place in the queue, and its hold on the budgets; all of one call or nothing of it.
-- Returns the hold of each, or the SQLSTATE and detail of its refusal: AT429 (billing) where a budget is spent, AT409
-- where the idempotency key was used before, or the batch's line is a call already.
-- The commit does not wait for the disk: nothing was promised yet, and the claim's commit, which does wait, covers it.
-- So the budget's row, the hottest, is not locked during a flush.
CREATE OR REPLACE FUNCTION admit_generations(p_calls jsonb)
RETURNS TABLE (n int, hold numeric, refusal text, detail text) LANGUAGE plpgsql AS $$
DECLARE
    c record;
    v_tenant uuid;
    v_stored boolean;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    FOR c IN
        SELECT x.*, array_agg(x.key) OVER (PARTITION BY x.tenant) AS keys,
               array_agg(x.key) FILTER (WHERE x.key_quota > 0) OVER (PARTITION BY x.tenant) AS quota_keys,
               bool_or(x.tenant_quota > 0) OVER (PARTITION BY x.tenant) AS of_tenant
          FROM jsonb_to_recordset(p_calls) AS x (
               n int, tenant uuid, id uuid, key uuid, kind text, alias text, model text, request jsonb, terms jsonb,
               inbox text, weight int, end_user text, hold_min numeric, hold numeric, currency text, prices jsonb,
               lease interval, idempotency_key text, fingerprint text, queue text, priority int, head_start int,
               line uuid, tags jsonb, tokens_min bigint, tokens bigint, key_quota bigint, tenant_quota bigint)
         ORDER BY x.tenant, x.n
    LOOP
        IF v_tenant IS DISTINCT FROM c.tenant THEN
            IF v_tenant IS NOT NULL THEN
                PERFORM leave_scope();
            END IF;
            PERFORM enter_scope(c.tenant);
            v_tenant := c.tenant;
            IF cardinality(c.keys) > 1 THEN
                PERFORM lock_accounts(c.tenant, c.keys, c.quota_keys, c.of_tenant);
            END IF;
        END IF;
        n := c.n;
        BEGIN
            IF c.idempotency_key IS NOT NULL THEN
                INSERT INTO tenants_idempotencyrecord (tenant_id, id, caller, key, fingerprint, generation_id)
                    VALUES (c.tenant, uuidv7(), c.key::text, c.idempotency_key, c.fingerprint, c.id)
                    ON CONFLICT (tenant_id, caller, key) DO NOTHING;
                IF NOT FOUND THEN
                    RAISE EXCEPTION 'idempotency key used before' USING ERRCODE = 'AT409';
                END IF;
            END IF;
            v_stored := c.kind = 'chat' AND c.request @> '{"store": true}' AND (c.terms ->> 'retention_days')::int > 0;
            INSERT INTO inference_generation (tenant_id, id, kind, key_id, alias, model, request, terms, inbox,
                                              stored, metadata, prompt_version_id, end_user)
                VALUES (c.tenant, c.id, c.kind, c.key, c.alias, c.model, c.request, c.terms, c.inbox,
                        v_stored, CASE WHEN v_stored THEN c.request -> 'metadata' END,
                        (c.terms ->> 'prompt_version')::uuid, coalesce(c.end_user, ''));
            IF c.line IS NOT NULL THEN
                PERFORM begin_batch_line(c.tenant, c.line, c.id);
            END IF;
            PERFORM enqueue_work(c.tenant, c.id, c.queue, c.weight, c.priority, c.head_start);
            hold := reserve_spend(c.tenant, c.id, c.id, c.key,
                                  CASE c.kind WHEN 'embeddings' THEN 'embeddings' ELSE 'completions' END,
                                  c.end_user, c.hold_min, c.hold, c.currency, c.prices, c.lease, c.tags,
                                  c.line IS NOT NULL, c.tokens_min, c.tokens, c.key_quota, c.tenant_quota);
            refusal := NULL;
            detail := NULL;
        EXCEPTION WHEN SQLSTATE 'AT429' OR SQLSTATE 'AT409' THEN
            GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
            refusal := SQLSTATE;
            hold := NULL;
        END;
        RETURN NEXT;
    END LOOP;
    PERFORM leave_scope();
END $$;

-- Claim the next generations and load them, each in the scope of its tenant. The provider is called next, so their
-- reservations count as dispatched from here; this commit is on disk before a provider is called, and with it the
-- admissions, which did not wait. `held` is false where a call waited so long that its hold has ended: nothing would pay.
CREATE OR REPLACE FUNCTION next_generations(p_queue text, p_worker text, p_lease interval, p_max int, p_most_running int)
RETURNS TABLE (tenant_id uuid, id uuid, attempt smallint, kind text, key_id uuid, alias text, model text, request text,
               terms jsonb, inbox text, hold numeric, prices jsonb, created_at timestamptz, held boolean)
LANGUAGE plpgsql AS $$
DECLARE
    c record;
BEGIN
    FOR c IN SELECT w.tenant_id, w.id, w.attempt FROM claim_work(p_queue, p_worker, p_lease, p_max, p_most_running) w LOOP
        PERFORM enter_scope(c.tenant_id);
        PERFORM stand_by_budgets(c.tenant_id);
        UPDATE billing_reservation r SET dispatched_at = clock_timestamp()
         WHERE r.tenant_id = c.tenant_id AND r.id = c.id AND r.state = 'open';
        RETURN QUERY
            SELECT g.tenant_id, g.id, c.attempt::smallint, g.kind::text, g.key_id, g.alias::text, g.model::text,
                   g.request::text, g.terms, g.inbox::text, r.hold, r.prices, g.created_at, r.state = 'open'
              FROM inference_generation g JOIN billing_reservation r ON r.tenant_id = g.tenant_id AND r.id = g.id
             WHERE g.tenant_id = c.tenant_id AND g.id = c.id;
        PERFORM leave_scope();
    END LOOP;
END $$;

-- Settle: each call leaves the queue (the fence: nothing is written where the lease was lost), keeps its answer as long
-- as the tenant wishes, gets its ledger rows, and releases the rest of its hold. Returns the cost of each; null where
-- another attempt or the sweeper was first; and the queue that each has left.
CREATE OR REPLACE FUNCTION settle_generations(p_calls jsonb)
RETURNS TABLE (n int, cost numeric, queue text) LANGUAGE plpgsql AS $$
DECLARE
    c record;
    v_tenant uuid;
    v_inbox text;
    v_background boolean;
BEGIN
    FOR c IN
        SELECT x.*, array_agg(x.id) OVER (PARTITION BY x.tenant) AS ids
          FROM jsonb_to_recordset(p_calls) AS x (
               n int, tenant uuid, id uuid, key uuid, attempt int, state text, reservation_state text, answer jsonb,
               error jsonb, attempts jsonb, lines jsonb, retention_days int, trace jsonb, found jsonb)
         ORDER BY x.tenant, x.n
    LOOP
        IF v_tenant IS DISTINCT FROM c.tenant THEN
            IF v_tenant IS NOT NULL THEN
                PERFORM leave_scope();
            END IF;
            PERFORM enter_scope(c.tenant);
            v_tenant := c.tenant;
            IF cardinality(c.ids) > 1 THEN
                PERFORM lock_held(c.tenant, c.ids);
            END IF;
        END IF;
        n := c.n;
        cost := NULL;
        queue := NULL;
        -- `finish_work`, but for the lane: its row is the hottest of the queue, and would stay locked until this commit is
        -- on disk. The worker tells the lanes a moment later, for many calls at a time (`leave_lanes`).
        DELETE FROM tenants_work w
         WHERE w.tenant_id = c.tenant AND w.id = c.id AND w.attempt = c.attempt AND w.state = 'running'
        RETURNING w.queue INTO queue;
        IF FOUND THEN
            UPDATE inference_generation g
               SET state = c.state, error = c.error, finished_at = clock_timestamp(), trace = c.trace,
                   -- Vectors are cheap to make again, and large.
                   answer = CASE WHEN c.retention_days > 0 AND g.kind <> 'embeddings' THEN c.answer END,
                   request = CASE WHEN c.retention_days > 0 THEN g.request END,
                   found = CASE WHEN c.retention_days > 0 THEN c.found END,
                   contents_until = clock_timestamp() + make_interval(days => c.retention_days)
             WHERE g.tenant_id = c.tenant AND g.id = c.id
            RETURNING g.inbox, made_in_background(g.kind, g.inbox, g.request) INTO v_inbox, v_background;
            IF v_inbox = '' THEN
                PERFORM end_batch_line(c.tenant, c.id, c.state, c.answer, c.error, c.reservation_state <> 'released');
            END IF;
            IF c.state <> 'completed' THEN
                -- A client may try again under the same key.
                DELETE FROM tenants_idempotencyrecord i WHERE i.tenant_id = c.tenant AND i.generation_id = c.id;
            END IF;
            cost := settle_spend(c.tenant, c.id, c.reservation_state, c.lines);
            INSERT INTO inference_inferenceattempt (
                    tenant_id, id, generation_id, number, deployment_id, deployment, model, started_at, latency_ms, ttft_ms,
                    input_tokens, output_tokens, cost, category, code, error_class, retryable)
                SELECT c.tenant, uuidv7(), c.id, a.number, a.deployment_id, a.deployment, a.model, a.started_at,
                       a.latency_ms, a.ttft_ms, coalesce(a.input_tokens, 0), coalesce(a.output_tokens, 0),
                       (SELECT sum(u.cost) FROM billing_usagerecord u
                         WHERE u.tenant_id = c.tenant AND u.request_id = c.id AND u.attempt = a.number
                           AND u.model = a.model AND u.corrects IS NULL),
                       coalesce(a.category, ''), coalesce(a.code, ''), coalesce(a.error_class, ''), a.retryable
                  FROM jsonb_to_recordset(c.attempts) AS a (
                       number int, deployment_id uuid, deployment text, model text, started_at timestamptz,
                       latency_ms float8, ttft_ms float8, input_tokens bigint, output_tokens bigint, category text,
                       code text, error_class text, retryable boolean);
            IF v_background THEN
                PERFORM tell_of_response(c.id, CASE WHEN c.state = 'completed' AND c.answer ->> 'status' = 'incomplete'
                                                    THEN 'incomplete' ELSE c.state END);
            END IF;
        END IF;
        RETURN NEXT;
    END LOOP;
    PERFORM leave_scope();
END $$;

-- The client left before any worker claimed it: leave the queue and release the hold. False where it was claimed.
CREATE OR REPLACE FUNCTION withdraw_generation(p_tenant uuid, p_id uuid)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_gone boolean;
    v_background boolean;
BEGIN
    PERFORM enter_scope(p_tenant);
    DELETE FROM tenants_work w WHERE w.tenant_id = p_tenant AND w.id = p_id AND w.state = 'queued';
    v_gone := FOUND;
    IF v_gone THEN
        UPDATE inference_generation g SET state = 'cancelled', finished_at = clock_timestamp(),
               contents_until = clock_timestamp() + make_interval(days => (g.terms ->> 'retention_days')::int),
               request = CASE WHEN (g.terms ->> 'retention_days')::int > 0 THEN g.request END
         WHERE g.tenant_id = p_tenant AND g.id = p_id
        RETURNING made_in_background(g.kind, g.inbox, g.request) INTO v_background;
        DELETE FROM tenants_idempotencyrecord i WHERE i.tenant_id = p_tenant AND i.generation_id = p_id;
        IF v_background THEN
            PERFORM tell_of_response(p_id, 'cancelled');
        END IF;
        PERFORM settle_spend(p_tenant, p_id, 'released', '[]');
    END IF;
    PERFORM leave_scope();
    RETURN v_gone;
END $$;

-- Generations whose contents outlived their retention. Ids only.
CREATE OR REPLACE FUNCTION expired_contents(p_limit int)
RETURNS TABLE (tenant_id uuid, id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT g.tenant_id, g.id FROM inference_generation g
     WHERE g.request IS NOT NULL AND g.contents_until < clock_timestamp() LIMIT p_limit
$$;
