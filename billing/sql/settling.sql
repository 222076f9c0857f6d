-- Settle once: ledger rows at the prices of the reservation, the cost to the budgets, the rest released.
-- p_lines: [{model, meter, quantity, attempt, priced_as?, estimated?, provider?}]: priced_as is the meter whose price the
-- line has where its own has none. Costs are exact, rounded once a line to 12 digits, and never exceed the hold: what is
-- above is the line's variance, which the platform bears (book_variance). Returns the cost; null if settled before.
-- p_state 'expired' (the sweep's): if the lease has run out, released where nothing was dispatched, else unknown.
-- 'orphaned' is the same for a child whose parent ends, whatever its lease.
-- p_state 'charged' (charge_spend's): settled at what it costs, whatever the hold, at the moment of the reservation.
-- A ledger row stands in the month and on the day (UTC) of its reservation, whatever the clock says when it is settled:
-- reports by time and budgets by period agree.
CREATE OR REPLACE FUNCTION settle_spend(p_tenant uuid, p_id uuid, p_state text, p_lines jsonb)
RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    r billing_reservation;
    v_charged numeric;
    v_over numeric;
    v_written int;
    v_wrong text;
    v_most numeric;
    v_at timestamptz;
    v_account uuid;
    v_alone boolean;
BEGIN
    PERFORM stand_by_budgets(p_tenant);
    UPDATE billing_reservation
       SET state = CASE WHEN p_state = 'charged' THEN 'settled' WHEN p_state NOT IN ('expired', 'orphaned') THEN p_state
                        WHEN dispatched_at IS NULL THEN 'released' ELSE 'unknown' END,
           settled_at = clock_timestamp()
     WHERE tenant_id = p_tenant AND id = p_id AND state = 'open'
       AND (p_state <> 'expired' OR expires_at < clock_timestamp()) RETURNING * INTO r;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF r.tokens > 0 THEN
        PERFORM use_tokens(r, p_lines);
    END IF;
    IF p_state = 'charged' THEN
        v_at := r.created_at;
    ELSE
        v_most := r.hold;
        v_at := moment_within(r.created_at, r.period_start);
    END IF;
    IF r.state = 'unknown' THEN
        v_charged := r.hold;
        -- The next free attempt keeps it apart from the request's other calls.
        INSERT INTO billing_usagerecord (tenant_id, id, reservation_id, request_id, attempt, operation, model, meter, quantity,
                unit_price, per, cost, currency, key_id, end_user, tags, batch, leads, period_start, occurred_at)
            SELECT p_tenant, uuidv7(), r.id, r.request_id, coalesce(max(u.attempt), 0) + 1, r.operation,
                   coalesce(r.prices -> 0 ->> 'model', 'unknown'), 'unreconciled', 1, r.hold, 1, r.hold, r.currency, r.key_id,
                   r.end_user, r.tags, r.batch, true, r.period_start, v_at
              FROM billing_usagerecord u
             WHERE u.tenant_id = p_tenant AND u.request_id = r.request_id AND u.corrects IS NULL;
    ELSIF p_lines = '[]' THEN
        v_charged := 0;
    ELSE
        -- A call's own reservation has the call's id; without parts, no other has lines of it.
        v_alone := r.id = r.request_id AND r.children = 0;
        IF jsonb_path_exists(r.prices, '$[*] ? (exists(@.tiers) || exists(@.allowance))') THEN
            p_lines := count_units(r, p_lines);
        END IF;
        -- The dividends have 30 digits after the point, so that a quotient's first 12 are right before it is rounded to them.
        WITH priced AS (
            SELECT l.*, p.id AS price_id, coalesce(l.first_amount, p.amount) AS amount, p.per,
                   round(round(coalesce(l.worth, l.quantity * p.amount), 30) / p.per, 12) AS full_cost,
                   round(round(l.quantity * p.list, 30) / p.per, 12) AS list_cost,
                   round(round(l.quantity * coalesce((p.costs ->> l.provider)::numeric, p.cost), 30) / p.per, 12) AS provider_cost
              FROM ROWS FROM (jsonb_to_recordset(p_lines) AS (
                   model text, meter text, quantity bigint, attempt int, priced_as text, estimated boolean, provider text,
                   included bigint, tiered_from bigint, worth numeric, first_amount numeric))
                   WITH ORDINALITY AS l (model, meter, quantity, attempt, priced_as, estimated, provider, included, tiered_from,
                                         worth, first_amount, n)
              JOIN jsonb_to_recordset(r.prices) AS p (
                   model text, meter text, id uuid, amount numeric, per int, list numeric, cost numeric, costs jsonb)
                ON p.model = l.model AND p.meter = coalesce(l.priced_as, l.meter) AND l.quantity >= 0),
        charged AS (
            SELECT priced.*,
                   greatest(0, least(full_cost, v_most - (sum(full_cost) OVER w - full_cost))) AS charge,
                   meter <> 'cache_hits' AND lag(attempt) OVER w IS DISTINCT FROM attempt AS first
              FROM priced WINDOW w AS (ORDER BY attempt, meter = 'cache_hits', n)),
        written AS (
            INSERT INTO billing_usagerecord (tenant_id, id, reservation_id, request_id, attempt, operation, model, meter, quantity,
                    price_id, unit_price, per, cost, variance, estimated, included, tiered_from, list_cost, provider_cost, provider,
                    currency, key_id, end_user, tags, batch, leads, period_start, occurred_at)
                SELECT r.tenant_id, uuidv7(), r.id, r.request_id, attempt, r.operation, model, meter, quantity,
                       price_id, amount, per, charge, full_cost - charge, coalesce(estimated, false), coalesce(included, 0),
                       tiered_from, list_cost, provider_cost, coalesce(provider, ''),
                       r.currency, r.key_id, r.end_user, r.tags, r.batch,
                       first AND (v_alone OR NOT EXISTS (
                           SELECT 1 FROM billing_usagerecord u
                            WHERE u.tenant_id = r.tenant_id AND u.request_id = r.request_id AND u.attempt = c.attempt
                              AND u.corrects IS NULL AND u.leads)),
                       r.period_start, v_at
                  FROM charged c ORDER BY n
            RETURNING cost, variance)
        SELECT coalesce(sum(w.cost), 0), sum(w.variance), count(*) INTO v_charged, v_over, v_written FROM written w;
        IF v_written <> jsonb_array_length(p_lines) THEN
            SELECT string_agg(concat_ws(' ', l.model, l.meter, l.quantity), ', ') INTO v_wrong
              FROM jsonb_to_recordset(p_lines) AS l (model text, meter text, quantity bigint, priced_as text)
             WHERE NOT EXISTS (SELECT 1 FROM jsonb_to_recordset(r.prices) AS p (model text, meter text)
                                WHERE p.model = l.model AND p.meter = coalesce(l.priced_as, l.meter))
                OR l.quantity IS NULL OR l.quantity < 0;
            RAISE EXCEPTION 'no price was reserved for, or no quantity is: %', v_wrong;
        END IF;
    END IF;
    IF r.children > 0 THEN
        -- Before the parent's accounts are changed. One that is being settled at this moment ends by that.
        PERFORM settle_spend(p_tenant, c.id, 'orphaned', '[]') FROM (
            SELECT id FROM billing_reservation WHERE tenant_id = p_tenant AND parent_id = p_id AND state = 'open'
             ORDER BY id FOR UPDATE SKIP LOCKED) c;
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

-- Now, as far as that lies on the day of p_day and in the month that starts on p_month (UTC both); else the end of them
-- that is nearer, for a call that ends on another day or after the clock was set back.
CREATE OR REPLACE FUNCTION moment_within(p_day timestamptz, p_month date) RETURNS timestamptz LANGUAGE sql AS $$
    SELECT greatest(p_month::timestamp AT TIME ZONE 'utc', date_trunc('day', p_day, 'UTC'), least(
           clock_timestamp(), date_trunc('day', p_day, 'UTC') + interval '24 hours' - interval '1 microsecond',
           (p_month + interval '1 month') AT TIME ZONE 'utc' - interval '1 microsecond'))
$$;

-- Reservations whose lease ran out, with whether the provider was called. Ids only.
CREATE OR REPLACE FUNCTION expired_reservations(p_limit int)
RETURNS TABLE (tenant_id uuid, id uuid, dispatched boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT r.tenant_id, r.id, r.dispatched_at IS NOT NULL FROM billing_reservation r
     WHERE r.state = 'open' AND r.expires_at < clock_timestamp() ORDER BY r.expires_at LIMIT p_limit
$$;
