-- A generation's life, each step one function call, one round trip, one transaction.
-- The app role calls them outside any scope: they open the tenant's scope themselves, transaction-locally, and end it.

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

-- Admit: the row, its place in the queue, and its hold on the budgets. Returns the hold.
-- Raises AT429 (billing) where a budget is spent, AT409 where the idempotency key was used before.
-- The commit does not wait for the disk: nothing was promised yet, and the claim's commit, which does wait, covers it.
-- So the budget's row, the hottest, is not locked during a flush.
CREATE OR REPLACE FUNCTION admit_generation(
    p_tenant uuid, p_id uuid, p_key uuid, p_kind text, p_alias text, p_model text, p_request jsonb, p_terms jsonb,
    p_inbox text, p_weight int, p_end_user text, p_hold_min numeric, p_hold numeric, p_currency text, p_prices jsonb,
    p_lease interval, p_idempotency_key text, p_fingerprint text)
RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    v_hold numeric;
BEGIN
    PERFORM enter_scope(p_tenant);
    PERFORM set_config('synchronous_commit', 'off', true);
    IF p_idempotency_key IS NOT NULL THEN
        INSERT INTO tenants_idempotencyrecord (tenant_id, id, caller, key, fingerprint, generation_id)
            VALUES (p_tenant, uuidv7(), p_key::text, p_idempotency_key, p_fingerprint, p_id)
            ON CONFLICT (tenant_id, caller, key) DO NOTHING;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'idempotency key used before' USING ERRCODE = 'AT409';
        END IF;
    END IF;
    INSERT INTO inference_generation (tenant_id, id, kind, key_id, alias, model, request, terms, inbox)
        VALUES (p_tenant, p_id, p_kind, p_key, p_alias, p_model, p_request, p_terms, p_inbox);
    PERFORM enqueue_work(p_tenant, p_id, 'generation', p_weight);
    v_hold := reserve_spend(p_tenant, p_id, p_id, p_key, CASE p_kind WHEN 'chat' THEN 'completions' ELSE p_kind END,
                            p_end_user, p_hold_min, p_hold, p_currency, p_prices, p_lease);
    PERFORM leave_scope();
    RETURN v_hold;
END $$;

-- Claim the next generation and load it, in the scope of the tenant that the claim returned. The provider is called
-- next, so its reservation counts as dispatched from here; this commit is on disk before the provider is called, and
-- with it the admission, which did not wait.
CREATE OR REPLACE FUNCTION next_generation(p_worker text, p_lease interval)
RETURNS TABLE (tenant_id uuid, id uuid, attempt smallint, kind text, key_id uuid, alias text, model text, request jsonb,
               terms jsonb, inbox text, hold numeric, prices jsonb, created_at timestamptz)
LANGUAGE plpgsql AS $$
DECLARE
    c record;
BEGIN
    SELECT * INTO c FROM claim_work('generation', p_worker, p_lease);
    IF c.id IS NULL THEN
        RETURN;
    END IF;
    PERFORM enter_scope(c.tenant_id);
    UPDATE billing_reservation r SET dispatched_at = clock_timestamp()
     WHERE r.tenant_id = c.tenant_id AND r.id = c.id AND r.state = 'open';
    RETURN QUERY
        SELECT g.tenant_id, g.id, c.attempt::smallint, g.kind::text, g.key_id, g.alias::text, g.model::text, g.request,
               g.terms, g.inbox::text, r.hold, r.prices, g.created_at
          FROM inference_generation g JOIN billing_reservation r ON r.tenant_id = g.tenant_id AND r.id = g.id
         WHERE g.tenant_id = c.tenant_id AND g.id = c.id;
    PERFORM leave_scope();
END $$;

-- Settle: leave the queue (the fence: false where the lease was lost), keep the answer as long as the tenant wishes,
-- write the ledger, release the rest. Returns the cost; null where another attempt or the sweeper was first.
CREATE OR REPLACE FUNCTION settle_generation(
    p_tenant uuid, p_id uuid, p_attempt int, p_state text, p_reservation_state text, p_answer jsonb, p_error jsonb,
    p_attempts jsonb, p_lines jsonb, p_retention_days int)
RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    v_cost numeric;
BEGIN
    PERFORM enter_scope(p_tenant);
    IF finish_work(p_tenant, p_id, p_attempt) THEN
        UPDATE inference_generation g
           SET state = p_state, error = p_error, attempts = p_attempts, finished_at = clock_timestamp(),
               answer = CASE WHEN p_retention_days > 0 THEN p_answer END,
               request = CASE WHEN p_retention_days > 0 THEN g.request END,
               contents_until = clock_timestamp() + make_interval(days => p_retention_days)
         WHERE g.tenant_id = p_tenant AND g.id = p_id;
        IF p_state <> 'completed' THEN
            -- A client may try again under the same key.
            DELETE FROM tenants_idempotencyrecord i WHERE i.tenant_id = p_tenant AND i.generation_id = p_id;
        END IF;
        v_cost := settle_spend(p_tenant, p_id, p_reservation_state, p_lines);
    END IF;
    PERFORM leave_scope();
    RETURN v_cost;
END $$;

-- The client left before any worker claimed it: leave the queue and release the hold. False where it was claimed.
CREATE OR REPLACE FUNCTION withdraw_generation(p_tenant uuid, p_id uuid)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_gone boolean;
BEGIN
    PERFORM enter_scope(p_tenant);
    DELETE FROM tenants_work w WHERE w.tenant_id = p_tenant AND w.id = p_id AND w.state = 'queued';
    v_gone := FOUND;
    IF v_gone THEN
        UPDATE inference_generation g SET state = 'cancelled', finished_at = clock_timestamp(),
               contents_until = clock_timestamp() + make_interval(days => (g.terms ->> 'retention_days')::int),
               request = CASE WHEN (g.terms ->> 'retention_days')::int > 0 THEN g.request END
         WHERE g.tenant_id = p_tenant AND g.id = p_id;
        DELETE FROM tenants_idempotencyrecord i WHERE i.tenant_id = p_tenant AND i.generation_id = p_id;
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
