-- Money is reserved before it is spent. Each function is one round trip; the hot rows (budget accounts) come last.

-- Hold up to p_hold on every budget above the caller, at least p_hold_min, all or nothing; returns the hold.
-- Without p_tags the tags are those of the key. The least that some budget has left clamps the hold. Raises AT429 with the budget in DETAIL where that is below p_hold_min.
CREATE OR REPLACE FUNCTION reserve_spend(
    p_tenant uuid, p_id uuid, p_request uuid, p_key uuid, p_operation text, p_end_user text,
    p_hold_min numeric, p_hold numeric, p_currency text, p_prices jsonb, p_lease interval,
    p_tags jsonb DEFAULT NULL, p_batch boolean DEFAULT false)
RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_period date := date_trunc('month', v_now AT TIME ZONE 'utc')::date;
    v_hold numeric := round(p_hold, 12);
    v_accounts uuid[] := '{}';
    v_budgets int;
    v_account record;
    v_tight record;
    v_tags jsonb := coalesce(p_tags, (SELECT k.tags FROM tenants_apikey k WHERE k.tenant_id = p_tenant AND k.id = p_key), '{}');
BEGIN
    IF p_hold_min < 0 OR p_hold < p_hold_min THEN
        RAISE EXCEPTION 'a hold of % cannot be at least %', p_hold, p_hold_min;
    END IF;
    SELECT count(*) INTO v_budgets FROM billing_budget b
     WHERE b.tenant_id = p_tenant AND (b.key_id IS NULL OR b.key_id = p_key);
    IF v_budgets > 0 THEN
        FOR v_try IN 1..2 LOOP
            v_accounts := '{}';
            -- Always in this order, so that two admissions cannot wait for each other; the tenant's row, the hottest, last.
            FOR v_account IN
                SELECT a.id, b.id AS budget_id, b.name, b.currency, b.limit, a.spent, a.held, b.limit - a.spent - a.held AS left_over
                  FROM billing_budgetaccount a JOIN billing_budget b ON b.tenant_id = a.tenant_id AND b.id = a.budget_id
                 WHERE a.tenant_id = p_tenant AND a.period_start = v_period AND (b.key_id IS NULL OR b.key_id = p_key)
                 ORDER BY b.key_id NULLS LAST, b.id FOR UPDATE OF a
            LOOP
                IF v_account.currency <> p_currency THEN
                    RAISE EXCEPTION 'budget % is in %, the call in %', v_account.budget_id, v_account.currency, p_currency;
                END IF;
                v_accounts := v_accounts || v_account.id;
                IF v_account.left_over < v_hold THEN
                    v_hold := v_account.left_over;
                    v_tight := v_account;
                END IF;
            END LOOP;
            EXIT WHEN cardinality(v_accounts) = v_budgets;
            INSERT INTO billing_budgetaccount (tenant_id, id, budget_id, period_start)
                SELECT p_tenant, uuidv7(), b.id, v_period FROM billing_budget b
                 WHERE b.tenant_id = p_tenant AND (b.key_id IS NULL OR b.key_id = p_key)
                 ORDER BY b.key_id NULLS LAST, b.id
                ON CONFLICT (tenant_id, budget_id, period_start) DO NOTHING;
        END LOOP;
        IF v_hold < p_hold_min THEN
            RAISE EXCEPTION 'budget exhausted' USING ERRCODE = 'AT429', DETAIL = jsonb_build_object(
                'budget_id', v_tight.budget_id, 'budget', v_tight.name, 'limit', v_tight.limit, 'spent', v_tight.spent,
                'held', v_tight.held, 'needed', p_hold_min, 'currency', p_currency,
                'resets_at', (v_period + interval '1 month')::date)::text;
        END IF;
        UPDATE billing_budgetaccount a SET held = a.held + v_hold WHERE a.tenant_id = p_tenant AND a.id = ANY (v_accounts);
    END IF;
    INSERT INTO billing_reservation (
        tenant_id, id, request_id, key_id, operation, end_user, tags, batch, hold, currency, prices, accounts, period_start,
        created_at, expires_at)
    VALUES (p_tenant, p_id, p_request, p_key, p_operation, p_end_user, v_tags, p_batch, v_hold, p_currency, p_prices,
            to_jsonb(v_accounts), v_period, v_now, v_now + p_lease);
    RETURN v_hold;
END $$;

-- A hold of its own for a part of a call that was not foreseen when the call was admitted: from the accounts that the
-- parent holds on, in the parent's day and month, for its caller. It is settled by itself, ends with its parent at the latest.
-- Raises AT429 as reserve_spend does, AT410 where the parent has ended or is a child itself.
CREATE OR REPLACE FUNCTION reserve_child(
    p_tenant uuid, p_id uuid, p_parent uuid, p_operation text, p_hold_min numeric, p_hold numeric, p_prices jsonb,
    p_lease interval)
RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    r billing_reservation;
    v_hold numeric := round(p_hold, 12);
    v_account record;
    v_tight record;
BEGIN
    IF p_hold_min < 0 OR p_hold < p_hold_min THEN
        RAISE EXCEPTION 'a hold of % cannot be at least %', p_hold, p_hold_min;
    END IF;
    -- The parent's row is written, so that it cannot end meanwhile, and knows afterwards that it has children to end.
    UPDATE billing_reservation SET children = children + 1
     WHERE tenant_id = p_tenant AND id = p_parent AND state = 'open' AND parent_id IS NULL RETURNING * INTO r;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the parent has ended' USING ERRCODE = 'AT410';
    END IF;
    FOR v_account IN
        SELECT a.id, b.id AS budget_id, b.name, b.limit, a.spent, a.held, b.limit - a.spent - a.held AS left_over
          FROM jsonb_array_elements_text(r.accounts) WITH ORDINALITY e
          JOIN billing_budgetaccount a ON a.tenant_id = p_tenant AND a.id = e.value::uuid
          JOIN billing_budget b ON b.tenant_id = p_tenant AND b.id = a.budget_id
         ORDER BY e.ordinality FOR UPDATE OF a
    LOOP
        IF v_account.left_over < v_hold THEN
            v_hold := v_account.left_over;
            v_tight := v_account;
        END IF;
    END LOOP;
    IF v_hold < p_hold_min THEN
        RAISE EXCEPTION 'budget exhausted' USING ERRCODE = 'AT429', DETAIL = jsonb_build_object(
            'budget_id', v_tight.budget_id, 'budget', v_tight.name, 'limit', v_tight.limit, 'spent', v_tight.spent,
            'held', v_tight.held, 'needed', p_hold_min, 'currency', r.currency,
            'resets_at', (r.period_start + interval '1 month')::date)::text;
    END IF;
    UPDATE billing_budgetaccount a SET held = a.held + v_hold
     WHERE a.tenant_id = p_tenant AND a.id IN (SELECT e.value::uuid FROM jsonb_array_elements_text(r.accounts) e);
    INSERT INTO billing_reservation (
        tenant_id, id, parent_id, request_id, key_id, operation, end_user, tags, batch, hold, currency, prices, accounts,
        period_start, created_at, expires_at)
    VALUES (p_tenant, p_id, p_parent, r.request_id, r.key_id, p_operation, r.end_user, r.tags, r.batch, v_hold, r.currency,
            p_prices, r.accounts, r.period_start, r.created_at, clock_timestamp() + p_lease);
    RETURN v_hold;
END $$;
