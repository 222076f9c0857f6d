-- Money is reserved before it is spent. Each function is one round trip; the hot rows (budget accounts) come last.

-- Hold up to p_hold on every budget above the caller, at least p_hold_min, all or nothing; returns the hold. Without
-- p_tags the tags are those of the key. The least that a hard budget has left clamps the hold; a soft one never refuses.
-- Where the month's tokens of key or tenant are limited (p_key_quota, p_tenant_quota; 0: not), p_tokens of them are held
-- too, at least p_tokens_min; where that clamps them, the hold is clamped by the same share.
-- Raises AT429 with the budget, or the quota, in DETAIL where one has less left than the least.
CREATE OR REPLACE FUNCTION reserve_spend(
    p_tenant uuid, p_id uuid, p_request uuid, p_key uuid, p_operation text, p_end_user text,
    p_hold_min numeric, p_hold numeric, p_currency text, p_prices jsonb, p_lease interval,
    p_tags jsonb DEFAULT NULL, p_batch boolean DEFAULT false, p_tokens_min bigint DEFAULT 0, p_tokens bigint DEFAULT 0,
    p_key_quota bigint DEFAULT 0, p_tenant_quota bigint DEFAULT 0)
RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
    v_day date := (v_now AT TIME ZONE 'utc')::date;
    -- Both rounded, so that a least with more digits is not above what is wished.
    v_min numeric := round(p_hold_min, 12);
    v_hold numeric := round(p_hold, 12);
    v_tags jsonb := p_tags;
    v_tokens bigint := 0;
    v_quotas uuid[] := '{}';
    v_accounts uuid[] := '{}';
    v_budgets int;
    v_opened int;
    v_account record;
    v_tight record;
BEGIN
    IF p_hold_min < 0 OR p_hold < p_hold_min THEN
        RAISE EXCEPTION 'a hold of % cannot be at least %', p_hold, p_hold_min;
    END IF;
    PERFORM pg_advisory_xact_lock_shared(uuid_hash_extended(p_tenant, 5));  -- stand_by_budgets
    IF v_tags IS NULL THEN
        v_tags := coalesce((SELECT k.tags FROM tenants_apikey k WHERE k.tenant_id = p_tenant AND k.id = p_key), '{}');
    END IF;
    IF p_tokens > 0 AND (p_key_quota > 0 OR p_tenant_quota > 0) THEN
        SELECT t.tokens, t.accounts INTO v_tokens, v_quotas
          FROM reserve_tokens(p_tenant, p_key, v_day, p_tokens_min, p_tokens, p_key_quota, p_tenant_quota) t;
        IF v_tokens < p_tokens THEN
            v_hold := round(v_min + (v_hold - v_min) * (v_tokens - p_tokens_min) / (p_tokens - p_tokens_min), 12);
        END IF;
    END IF;
    SELECT count(*), count(a.id) INTO v_budgets, v_opened FROM billing_budget b
      LEFT JOIN billing_budgetaccount a ON a.tenant_id = b.tenant_id AND a.budget_id = b.id
       AND a.period_start = budget_starts(b.period, b.starts_on, v_day)
     WHERE b.tenant_id = p_tenant AND (b.key_id IS NULL OR b.key_id = p_key)
       AND (b.tag_name = '' OR v_tags ->> b.tag_name = b.tag_value);
    IF v_budgets > 0 THEN
        IF v_opened < v_budgets THEN
            -- Before any of them is locked: who waits for one that another makes must hold none.
            PERFORM open_accounts(p_tenant, p_key, v_tags, v_now);
        END IF;
        -- Always in this order, so that two admissions cannot wait for each other; the tenant's row, the hottest, last.
        FOR v_account IN
            SELECT a.id, b.id AS budget_id, b.name, b.currency, b.hard, b.limit, a.spent, a.held,
                   b.limit - a.spent - a.held AS left_over, b.period, a.period_start
              FROM billing_budgetaccount a JOIN billing_budget b ON b.tenant_id = a.tenant_id AND b.id = a.budget_id
             WHERE a.tenant_id = p_tenant AND a.period_start = budget_starts(b.period, b.starts_on, v_day)
               AND (b.key_id IS NULL OR b.key_id = p_key) AND (b.tag_name = '' OR v_tags ->> b.tag_name = b.tag_value)
             ORDER BY b.key_id NULLS LAST, b.tag_name = '', b.id FOR UPDATE OF a
        LOOP
            IF v_account.currency <> p_currency THEN
                RAISE EXCEPTION 'budget % is in %, the call in %', v_account.budget_id, v_account.currency, p_currency;
            END IF;
            v_accounts := v_accounts || v_account.id;
            IF v_account.hard AND v_account.left_over < v_hold THEN
                v_hold := v_account.left_over;
                v_tight := v_account;
            END IF;
        END LOOP;
        IF v_hold < v_min THEN
            PERFORM refuse_spend(to_jsonb(v_tight), v_min);
        END IF;
        UPDATE billing_budgetaccount a SET held = a.held + v_hold WHERE a.tenant_id = p_tenant AND a.id = ANY (v_accounts);
    END IF;
    INSERT INTO billing_reservation (
        tenant_id, id, request_id, key_id, operation, end_user, tags, batch, hold, currency, prices, accounts, tokens, quotas,
        period_start, created_at, expires_at)
    VALUES (p_tenant, p_id, p_request, p_key, p_operation, p_end_user, v_tags, p_batch, v_hold, p_currency, p_prices,
            to_jsonb(v_accounts), v_tokens, to_jsonb(v_quotas), date_trunc('month', v_day::timestamp)::date, v_now,
            v_now + p_lease);
    RETURN v_hold;
END $$;

-- Raise AT429 with the account that has too little left in DETAIL.
CREATE OR REPLACE FUNCTION refuse_spend(p_account jsonb, p_needed numeric) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'budget exhausted' USING ERRCODE = 'AT429', DETAIL = jsonb_build_object(
        'budget_id', p_account -> 'budget_id', 'budget', p_account -> 'name', 'limit', p_account -> 'limit',
        'spent', p_account -> 'spent', 'held', p_account -> 'held', 'needed', p_needed, 'currency', p_account -> 'currency',
        'period', p_account -> 'period',
        'resets_at', budget_ends(p_account ->> 'period', (p_account ->> 'period_start')::date))::text;
END $$;

-- A hold of its own for a part of a call that was not foreseen when the call was admitted: from the accounts that the
-- parent holds on, in the parent's day and month, for its caller. It is settled by itself and ends with its parent at the
-- latest. Raises AT429 as reserve_spend does, AT410 where the parent has ended or is a child itself.
CREATE OR REPLACE FUNCTION reserve_child(
    p_tenant uuid, p_id uuid, p_parent uuid, p_operation text, p_hold_min numeric, p_hold numeric, p_prices jsonb,
    p_lease interval)
RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    r billing_reservation;
    v_min numeric := round(p_hold_min, 12);
    v_hold numeric := round(p_hold, 12);
    v_account record;
    v_tight record;
BEGIN
    IF p_hold_min < 0 OR p_hold < p_hold_min THEN
        RAISE EXCEPTION 'a hold of % cannot be at least %', p_hold, p_hold_min;
    END IF;
    PERFORM stand_by_budgets(p_tenant);
    -- The parent's row is written, so that it cannot end meanwhile, and knows afterwards that it has children to end.
    UPDATE billing_reservation SET children = children + 1
     WHERE tenant_id = p_tenant AND id = p_parent AND state = 'open' AND parent_id IS NULL RETURNING * INTO r;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the parent has ended' USING ERRCODE = 'AT410';
    END IF;
    FOR v_account IN
        SELECT a.id, b.id AS budget_id, b.name, b.currency, b.hard, b.limit, a.spent, a.held,
               b.limit - a.spent - a.held AS left_over, b.period, a.period_start
          FROM jsonb_array_elements_text(r.accounts) WITH ORDINALITY e
          JOIN billing_budgetaccount a ON a.tenant_id = p_tenant AND a.id = e.value::uuid
          JOIN billing_budget b ON b.tenant_id = p_tenant AND b.id = a.budget_id
         ORDER BY e.ordinality FOR UPDATE OF a
    LOOP
        IF v_account.hard AND v_account.left_over < v_hold THEN
            v_hold := v_account.left_over;
            v_tight := v_account;
        END IF;
    END LOOP;
    IF v_hold < v_min THEN
        PERFORM refuse_spend(to_jsonb(v_tight), v_min);
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

-- Lock what several calls of a tenant will hold on, in the order in which one call locks it: for who admits them in one
-- transaction. p_quota_keys: those of the keys whose tokens are limited; p_tenant_quota: whether the tenant's are.
CREATE OR REPLACE FUNCTION lock_accounts(p_tenant uuid, p_keys uuid[], p_quota_keys uuid[], p_tenant_quota boolean)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_day date := (clock_timestamp() AT TIME ZONE 'utc')::date;
    v_month date := date_trunc('month', v_day::timestamp)::date;
BEGIN
    PERFORM stand_by_budgets(p_tenant);
    IF p_tenant_quota OR cardinality(p_quota_keys) > 0 THEN
        PERFORM open_token_accounts(p_tenant, p_quota_keys, p_tenant_quota, v_month);
        PERFORM 1 FROM billing_tokenaccount t
          WHERE t.tenant_id = p_tenant AND t.period_start = v_month
            AND ((t.key_id IS NULL AND p_tenant_quota) OR t.key_id = ANY (p_quota_keys))
          ORDER BY t.key_id NULLS LAST FOR UPDATE;
    END IF;
    -- All that are missing first, whatever the calls' tags.
    INSERT INTO billing_budgetaccount (tenant_id, id, budget_id, period_start, spent)
        SELECT p_tenant, uuidv7(), b.id, s.start, spent_under(b, s.start)
          FROM billing_budget b CROSS JOIN LATERAL (SELECT budget_starts(b.period, b.starts_on, v_day) AS start) s
         WHERE b.tenant_id = p_tenant AND (b.key_id IS NULL OR b.key_id = ANY (p_keys))
           AND NOT EXISTS (SELECT 1 FROM billing_budgetaccount a
                            WHERE a.tenant_id = p_tenant AND a.budget_id = b.id AND a.period_start = s.start)
         ORDER BY b.key_id NULLS LAST, b.tag_name = '', b.id
        ON CONFLICT (tenant_id, budget_id, period_start) DO NOTHING;
    PERFORM 1 FROM billing_budgetaccount a JOIN billing_budget b ON b.tenant_id = a.tenant_id AND b.id = a.budget_id
      WHERE a.tenant_id = p_tenant AND (b.key_id IS NULL OR b.key_id = ANY (p_keys))
        AND a.period_start = budget_starts(b.period, b.starts_on, v_day)
      ORDER BY b.key_id NULLS LAST, b.tag_name = '', b.id FOR UPDATE OF a;
END $$;

-- The same of what several reservations hold on: for who settles them in one transaction.
CREATE OR REPLACE FUNCTION lock_held(p_tenant uuid, p_reservations uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stand_by_budgets(p_tenant);
    PERFORM 1 FROM billing_tokenaccount t
      WHERE t.tenant_id = p_tenant AND t.id IN (
            SELECT e.value::uuid FROM billing_reservation r CROSS JOIN LATERAL jsonb_array_elements_text(r.quotas) e
             WHERE r.tenant_id = p_tenant AND r.id = ANY (p_reservations))
      ORDER BY t.key_id NULLS LAST, t.period_start FOR UPDATE;
    PERFORM 1 FROM billing_budgetaccount a JOIN billing_budget b ON b.tenant_id = a.tenant_id AND b.id = a.budget_id
      WHERE a.tenant_id = p_tenant AND a.id IN (
            SELECT e.value::uuid FROM billing_reservation r CROSS JOIN LATERAL jsonb_array_elements_text(r.accounts) e
             WHERE r.tenant_id = p_tenant AND r.id = ANY (p_reservations))
      ORDER BY b.key_id NULLS LAST, b.tag_name = '', b.id, a.period_start FOR UPDATE OF a;
END $$;
