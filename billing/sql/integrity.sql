-- Does the ledger say what it should? Everything here is looked at in one snapshot, so what is under way is no fault.

-- Every way in which lines, their sums and the budgets' accounts disagree, about the days from p_since up to p_until.
--   sums     the lines of an hour that are rolled up, and the sum of that hour; hours and days; days, models' days and users' days
--   cost     a line's cost and variance, and what its quantity and price say
--   month    a line's month, and that of its time
--   calls    a call's lines, and the one of them that leads
--   budget   what an account says is spent, and what the ledger has of its period under its budget
--   holds    what an account says is held, and the open reservations that hold on it
CREATE OR REPLACE FUNCTION ledger_faults(p_since date, p_until date)
RETURNS TABLE (kind text, pseudonym uuid, subject text, day date, expected numeric, found numeric)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
DECLARE
    v_mark bigint := coalesce((SELECT up_to FROM billing_rollupmark), 0);
    v_since timestamptz := p_since::timestamp AT TIME ZONE 'utc';
    v_until timestamptz := p_until::timestamp AT TIME ZONE 'utc';
    v_month date := date_trunc('month', p_since::timestamp)::date;  -- the ledger has an index of months over all tenants
BEGIN
    RETURN QUERY
    WITH lines AS (
        SELECT u.tenant_id, date_trunc('hour', u.occurred_at, 'UTC') AS start, sum(u.quantity) AS quantity,
               sum(u.cost) AS cost, sum(u.provider_cost) AS provider_cost, count(*) FILTER (WHERE u.leads) AS calls, count(*) AS lines
          FROM billing_usagerecord u
         WHERE u.period_start >= v_month AND u.occurred_at >= v_since AND u.occurred_at < v_until AND u.xact < v_mark GROUP BY 1, 2),
    levels (level, tenant_id, start, quantity, cost, provider_cost, calls, lines) AS (
        SELECT 'hour', s.tenant_id, s.start, sum(s.quantity), sum(s.cost), sum(s.provider_cost), sum(s.calls), sum(s.lines)
          FROM billing_usagehour s WHERE s.start >= v_since AND s.start < v_until GROUP BY 2, 3
        UNION ALL
        SELECT 'day', s.tenant_id, s.start, sum(s.quantity), sum(s.cost), sum(s.provider_cost), sum(s.calls), sum(s.lines)
          FROM billing_usageday s WHERE s.start >= v_since AND s.start < v_until GROUP BY 2, 3
        UNION ALL
        SELECT 'models'' day', s.tenant_id, s.start, sum(s.quantity), sum(s.cost), sum(s.provider_cost), sum(s.calls), sum(s.lines)
          FROM billing_modelday s WHERE s.start >= v_since AND s.start < v_until GROUP BY 2, 3
        UNION ALL
        SELECT 'users'' day', s.tenant_id, s.start, sum(s.quantity), sum(s.cost), sum(s.provider_cost), sum(s.calls), sum(s.lines)
          FROM billing_userday s WHERE s.start >= v_since AND s.start < v_until GROUP BY 2, 3),
    wanted (level, tenant_id, start, quantity, cost, provider_cost, calls, lines) AS (
        SELECT 'hour', l.* FROM lines l
        UNION ALL
        SELECT n.level, l.tenant_id, date_trunc('day', l.start, 'UTC'), sum(l.quantity), sum(l.cost), sum(l.provider_cost),
               sum(l.calls), sum(l.lines) FROM lines l, (VALUES ('day'), ('models'' day'), ('users'' day')) n (level) GROUP BY 1, 2, 3)
    SELECT 'sums', tenant_id, format('%s of the %s of %s', f.name, level, to_char(start AT TIME ZONE 'utc', 'YYYY-MM-DD HH24:MI')),
           (start AT TIME ZONE 'utc')::date, coalesce(f.wanted, 0), coalesce(f.found, 0)
      FROM wanted w FULL JOIN levels s USING (level, tenant_id, start)
     CROSS JOIN LATERAL (VALUES ('cost', w.cost, s.cost), ('quantity', w.quantity, s.quantity), ('calls', w.calls, s.calls),
           ('provider cost', w.provider_cost, s.provider_cost), ('lines', w.lines, s.lines)) f (name, wanted, found)
     WHERE coalesce(f.wanted, 0) <> coalesce(f.found, 0);

    RETURN QUERY
    SELECT 'cost', u.tenant_id, 'line ' || u.id, (u.occurred_at AT TIME ZONE 'utc')::date, e.cost, u.cost + u.variance
      FROM billing_usagerecord u
      LEFT JOIN billing_reservation r ON u.tiered_from IS NOT NULL AND r.tenant_id = u.tenant_id AND r.id = u.reservation_id
     CROSS JOIN LATERAL (SELECT CASE
           WHEN u.tiered_from IS NULL THEN round(round((u.quantity - u.included) * u.unit_price, 30) / u.per, 12)
           -- Of a line with tiers only its first price stands in it; all of them stand in its reservation.
           ELSE (SELECT round(round(g.worth, 30) / u.per, 12)
                   FROM jsonb_to_recordset(r.prices) AS p (id uuid, tiers jsonb), graduated(p.tiers, u.tiered_from, u.quantity - u.included) g
                  WHERE p.id = u.price_id) END AS cost) e
     WHERE u.period_start >= v_month AND u.occurred_at >= v_since AND u.occurred_at < v_until AND u.corrects IS NULL AND e.cost <> u.cost + u.variance;

    RETURN QUERY
    SELECT 'month', u.tenant_id, 'line ' || u.id, (u.occurred_at AT TIME ZONE 'utc')::date,
           to_char(u.occurred_at AT TIME ZONE 'utc', 'YYYYMM')::numeric, to_char(u.period_start, 'YYYYMM')::numeric
      FROM billing_usagerecord u
     WHERE u.period_start >= v_month AND u.occurred_at >= v_since AND u.occurred_at < v_until
       AND u.period_start <> date_trunc('month', u.occurred_at AT TIME ZONE 'utc')::date;

    RETURN QUERY
    SELECT 'calls', u.tenant_id, format('attempt %s of %s', u.attempt, u.request_id),
           min((u.occurred_at AT TIME ZONE 'utc')::date), 1::numeric, count(*) FILTER (WHERE u.leads)::numeric
      FROM billing_usagerecord u
     WHERE u.period_start >= v_month AND u.occurred_at >= v_since AND u.occurred_at < v_until AND u.corrects IS NULL AND u.meter <> 'cache_hits'
     GROUP BY u.tenant_id, u.request_id, u.attempt HAVING count(*) FILTER (WHERE u.leads) <> 1;

    -- Days hold what is rolled up (and agree with the lines, or the first query said so); lines that are not come on top.
    RETURN QUERY
    SELECT 'budget', a.tenant_id, format('account %s of %s', a.id, b.name), NULL::date, e.spent, a.spent
      FROM billing_budgetaccount a JOIN billing_budget b ON b.tenant_id = a.tenant_id AND b.id = a.budget_id
     CROSS JOIN LATERAL (SELECT a.period_start::timestamp AT TIME ZONE 'utc' AS since, coalesce(
           budget_ends(b.period, a.period_start)::timestamp AT TIME ZONE 'utc', 'infinity') AS until) t
     CROSS JOIN LATERAL (SELECT coalesce((
           SELECT sum(s.cost) FROM billing_usageday s
            WHERE s.tenant_id = a.tenant_id AND s.start >= t.since AND s.start < t.until AND s.currency = b.currency
              AND budget_covers(b.key_id, b.tag_name, b.tag_value, s.key_id, s.tags)), 0) + coalesce((
           SELECT sum(u.cost) FROM billing_usagerecord u
            WHERE u.xact >= v_mark AND u.tenant_id = a.tenant_id AND u.occurred_at >= t.since AND u.occurred_at < t.until
              AND u.currency = b.currency AND budget_covers(b.key_id, b.tag_name, b.tag_value, u.key_id, u.tags)), 0) AS spent) e
     WHERE t.until > v_since AND e.spent <> a.spent;

    RETURN QUERY
    SELECT 'holds', a.tenant_id, 'account ' || a.id, NULL::date, coalesce(h.held, 0), a.held
      FROM billing_budgetaccount a LEFT JOIN (
           SELECT r.tenant_id, e.value::uuid AS id, sum(r.hold) AS held
             FROM billing_reservation r, jsonb_array_elements_text(r.accounts) e WHERE r.state = 'open' GROUP BY 1, 2) h
        ON h.tenant_id = a.tenant_id AND h.id = a.id
     WHERE a.held <> coalesce(h.held, 0);
END $$;

-- Look, and keep what was found; returns the faults that were not known, or were thought mended.
CREATE OR REPLACE FUNCTION check_ledger(p_since date, p_until date, p_at timestamptz)
RETURNS TABLE (kind text, pseudonym uuid, subject text, expected numeric, found numeric)
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    WITH seen AS MATERIALIZED (SELECT * FROM ledger_faults(p_since, p_until)),
    gone AS (
        UPDATE billing_ledgerfault f SET resolved_at = p_at
         WHERE f.resolved_at IS NULL AND (f.day IS NULL OR f.day >= p_since AND f.day < p_until) AND NOT EXISTS (
               SELECT FROM seen s WHERE s.kind = f.kind AND s.pseudonym = f.pseudonym AND s.subject = f.subject)),
    kept AS (
        INSERT INTO billing_ledgerfault AS f (id, kind, pseudonym, subject, day, expected, found, found_at, seen_at)
            SELECT uuidv7(), s.kind, s.pseudonym, s.subject, s.day, s.expected, s.found, p_at, p_at FROM seen s
            ON CONFLICT (kind, pseudonym, subject) DO UPDATE
               SET expected = excluded.expected, found = excluded.found, seen_at = p_at, resolved_at = NULL,
                   found_at = CASE WHEN f.resolved_at IS NULL THEN f.found_at ELSE p_at END
        RETURNING f.kind, f.pseudonym, f.subject, f.expected, f.found, f.found_at)
    SELECT k.kind, k.pseudonym, k.subject, k.expected, k.found FROM kept k WHERE k.found_at = p_at
$$;
