-- Money is reserved before it is spent. Each function is one round trip; the hot rows (budget accounts) come last.

-- Hold up to p_hold on every budget above the caller, at least p_hold_min, all or nothing; returns the hold.
-- The least that some budget has left clamps it. Raises AT429 with the budget in DETAIL where that is below p_hold_min.
CREATE OR REPLACE FUNCTION reserve_spend(
    p_tenant uuid, p_id uuid, p_request uuid, p_key uuid, p_operation text, p_end_user text,
    p_hold_min numeric, p_hold numeric, p_currency text, p_prices jsonb, p_lease interval)
RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    v_period date := date_trunc('month', clock_timestamp() AT TIME ZONE 'utc')::date;
    v_hold numeric := round(p_hold, 12);
    v_accounts uuid[] := '{}';
    v_budgets int;
    v_account record;
    v_tight record;
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
        tenant_id, id, request_id, key_id, operation, end_user, hold, currency, prices, accounts, period_start, expires_at)
    VALUES (p_tenant, p_id, p_request, p_key, p_operation, p_end_user, v_hold, p_currency, p_prices,
            to_jsonb(v_accounts), v_period, clock_timestamp() + p_lease);
    RETURN v_hold;
END $$;

-- A hold of its own for a part of a call that was not foreseen when the call was admitted: from the accounts that the
-- parent holds on, in the parent's month, for its caller. It is settled by itself and ends with its parent at the latest.
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
        tenant_id, id, parent_id, request_id, key_id, operation, end_user, hold, currency, prices, accounts, period_start,
        expires_at)
    VALUES (p_tenant, p_id, p_parent, r.request_id, r.key_id, p_operation, r.end_user, v_hold, r.currency, p_prices,
            r.accounts, r.period_start, clock_timestamp() + p_lease);
    RETURN v_hold;
END $$;

-- What usage above a hold cost: on the platform's account of the day, and an alert once an hour for a tenant's model.
CREATE OR REPLACE FUNCTION book_variance(p_tenant uuid, p_model text, p_currency text, p_amount numeric, p_at timestamptz)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
BEGIN
    IF p_tenant <> current_setting('app.tenant_id')::uuid THEN
        RAISE EXCEPTION 'another tenant''s variance';
    END IF;
    INSERT INTO billing_varianceaccount AS v (id, day, model, pseudonym, currency, amount, calls)
        VALUES (uuidv7(), (p_at AT TIME ZONE 'utc')::date, p_model, p_tenant, p_currency, p_amount, 1)
        ON CONFLICT (day, model, pseudonym, currency)
        DO UPDATE SET amount = v.amount + excluded.amount, calls = v.calls + 1;
    INSERT INTO billing_variancealert AS v (id, hour, model, pseudonym, currency, amount, calls)
        VALUES (uuidv7(), date_trunc('hour', p_at, 'UTC'), p_model, p_tenant, p_currency, p_amount, 1)
        ON CONFLICT (hour, model, pseudonym, currency)
        DO UPDATE SET amount = v.amount + excluded.amount, calls = v.calls + 1;
END $$;

-- Alerts that nobody was told of yet; each is handed out once, if the caller's transaction commits.
CREATE OR REPLACE FUNCTION raise_variance_alerts(p_limit int)
RETURNS TABLE (hour timestamptz, model text, pseudonym uuid, currency text, amount numeric, calls bigint)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    UPDATE billing_variancealert v SET raised_at = clock_timestamp()
      FROM (SELECT id FROM billing_variancealert WHERE raised_at IS NULL ORDER BY id LIMIT p_limit FOR UPDATE SKIP LOCKED) n
     WHERE v.id = n.id
    RETURNING v.hour, v.model::text, v.pseudonym, v.currency::text, v.amount, v.calls::bigint
$$;

-- Settle once: ledger rows at the prices of the reservation, the cost to the budgets, the rest released.
-- p_lines: [{model, meter, quantity, attempt, priced_as?, estimated?}]: priced_as is the meter whose price the line has
-- where its own has none. Costs are exact, rounded once a line to 12 digits, and never exceed the hold: what is above is
-- the line's variance, which the platform bears (book_variance). Returns the cost; null if settled before.
-- p_state 'expired' (the sweep's): if the lease has run out, released where nothing was dispatched, else unknown.
-- 'orphaned' is the same for a child whose parent ends, whatever its lease.
-- A ledger row stands in the month of its reservation, by occurred_at too: reports by time and budgets by month agree.
CREATE OR REPLACE FUNCTION settle_spend(p_tenant uuid, p_id uuid, p_state text, p_lines jsonb)
RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    r billing_reservation;
    v_charged numeric;
    v_over numeric;
    v_written int;
    v_wrong text;
    v_at timestamptz;
    v_account uuid;
BEGIN
    UPDATE billing_reservation
       SET state = CASE WHEN p_state NOT IN ('expired', 'orphaned') THEN p_state WHEN dispatched_at IS NULL THEN 'released' ELSE 'unknown' END,
           settled_at = clock_timestamp()
     WHERE tenant_id = p_tenant AND id = p_id AND state = 'open'
       AND (p_state <> 'expired' OR expires_at < clock_timestamp()) RETURNING * INTO r;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF r.children > 0 THEN
        -- Before the parent's accounts are locked. One that is being settled at this moment ends by that.
        PERFORM settle_spend(p_tenant, c.id, 'orphaned', '[]') FROM (
            SELECT id FROM billing_reservation WHERE tenant_id = p_tenant AND parent_id = p_id AND state = 'open'
             ORDER BY id FOR UPDATE SKIP LOCKED) c;
    END IF;
    v_at := least(clock_timestamp(), (r.period_start + interval '1 month') AT TIME ZONE 'utc' - interval '1 microsecond');
    IF r.state = 'unknown' THEN
        -- Several calls of one request may end so; the next free attempt keeps their rows apart.
        INSERT INTO billing_usagerecord (tenant_id, id, reservation_id, request_id, attempt, operation, model, meter, quantity,
                unit_price, per, cost, currency, key_id, end_user, period_start, occurred_at)
            SELECT p_tenant, uuidv7(), r.id, r.request_id, coalesce(max(u.attempt), 0) + 1, r.operation,
                   coalesce(r.prices -> 0 ->> 'model', 'unknown'), 'unreconciled', 1, r.hold, 1, r.hold, r.currency, r.key_id,
                   r.end_user, r.period_start, v_at
              FROM billing_usagerecord u
             WHERE u.tenant_id = p_tenant AND u.request_id = r.request_id AND u.meter = 'unreconciled' AND u.corrects IS NULL;
        v_charged := r.hold;
    ELSE
        WITH priced AS (
            SELECT l.*, p.id AS price_id, p.amount, p.per, round(l.quantity * p.amount / p.per, 12) AS full_cost
              FROM ROWS FROM (jsonb_to_recordset(p_lines) AS (
                   model text, meter text, quantity bigint, attempt int, priced_as text, estimated boolean))
                   WITH ORDINALITY AS l (model, meter, quantity, attempt, priced_as, estimated, n)
              JOIN jsonb_to_recordset(r.prices) AS p (model text, meter text, id uuid, amount numeric, per int)
                ON p.model = l.model AND p.meter = coalesce(l.priced_as, l.meter) AND l.quantity >= 0),
        charged AS (
            SELECT priced.*, greatest(0, least(full_cost,
                   r.hold - (sum(full_cost) OVER (ORDER BY n) - full_cost))) AS cost FROM priced),
        written AS (
            INSERT INTO billing_usagerecord (tenant_id, id, reservation_id, request_id, attempt, operation, model, meter,
                    quantity, price_id, unit_price, per, cost, variance, estimated, currency, key_id, end_user, period_start,
                    occurred_at)
                SELECT p_tenant, uuidv7(), r.id, r.request_id, attempt, r.operation, model, meter, quantity, price_id,
                       amount, per, cost, full_cost - cost, coalesce(estimated, false), r.currency, r.key_id, r.end_user,
                       r.period_start, v_at FROM charged ORDER BY n
            RETURNING cost, variance)
        SELECT coalesce(sum(cost), 0), sum(variance), count(*) INTO v_charged, v_over, v_written FROM written;
        IF v_written <> jsonb_array_length(p_lines) THEN
            SELECT string_agg(concat_ws(' ', l.model, l.meter, l.quantity), ', ') INTO v_wrong
              FROM jsonb_to_recordset(p_lines) AS l (model text, meter text, quantity bigint, priced_as text)
             WHERE NOT EXISTS (SELECT 1 FROM jsonb_to_recordset(r.prices) AS p (model text, meter text)
                                WHERE p.model = l.model AND p.meter = coalesce(l.priced_as, l.meter))
                OR l.quantity IS NULL OR l.quantity < 0;
            RAISE EXCEPTION 'no price was reserved for, or no quantity is: %', v_wrong;
        END IF;
    END IF;
    -- In the order in which reserve_spend locked them, or the two could wait for each other.
    FOR v_account IN SELECT e.value::uuid FROM jsonb_array_elements_text(r.accounts) WITH ORDINALITY e ORDER BY e.ordinality LOOP
        UPDATE billing_budgetaccount a SET held = a.held - r.hold, spent = a.spent + v_charged
         WHERE a.tenant_id = p_tenant AND a.id = v_account;
    END LOOP;
    IF v_over > 0 THEN
        PERFORM book_variance(p_tenant, u.model::text, r.currency::text, sum(u.variance), v_at) FROM billing_usagerecord u
         WHERE u.tenant_id = p_tenant AND u.request_id = r.request_id AND u.reservation_id = r.id AND u.variance > 0
           AND u.corrects IS NULL GROUP BY u.model ORDER BY u.model;
    END IF;
    RETURN v_charged;
END $$;

-- Reservations whose lease ran out, with whether the provider was called. Ids only.
CREATE OR REPLACE FUNCTION expired_reservations(p_limit int)
RETURNS TABLE (tenant_id uuid, id uuid, dispatched boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT r.tenant_id, r.id, r.dispatched_at IS NOT NULL FROM billing_reservation r
     WHERE r.state = 'open' AND r.expires_at < clock_timestamp() ORDER BY r.expires_at LIMIT p_limit
$$;
