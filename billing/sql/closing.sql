-- Months that are closed, and what their statements have; see `closed_months.py`.

-- The month in which something of the moment p_at is booked: its own, or the first after it that is not closed. It is not
-- closed before this transaction ends (see `OpenMonth`).
CREATE OR REPLACE FUNCTION open_month(p_tenant uuid, p_at timestamptz)
RETURNS date LANGUAGE plpgsql AS $$
DECLARE
    v_month date := date_trunc('month', p_at AT TIME ZONE 'utc')::date;
BEGIN
    LOOP
        PERFORM pg_advisory_xact_lock_shared(uuid_hash(p_tenant), v_month - DATE '2000-01-01');
        EXIT WHEN NOT EXISTS (SELECT 1 FROM billing_statement s WHERE s.tenant_id = p_tenant AND s.period_start = v_month);
        v_month := v_month + interval '1 month';
    END LOOP;
    RETURN v_month;
END $$;

-- Wait for those who write rows of a month, and keep them waiting until this transaction ends: see `OpenMonth`.
CREATE OR REPLACE FUNCTION lock_month(p_tenant uuid, p_month date)
RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(uuid_hash(p_tenant), p_month - DATE '2000-01-01')
$$;

-- What a month's statement has: usage by model, meter and price; corrections by the month that they correct and why;
-- the lines of credit notes likewise.
CREATE OR REPLACE FUNCTION statement_lines(p_tenant uuid, p_month date)
RETURNS TABLE (currency text, kind text, model text, meter text, price_id uuid, unit_price numeric, per int, quantity bigint,
               included bigint, cost numeric, list_cost numeric, corrected_month date, reason text, records bigint)
LANGUAGE sql STABLE AS $$
    WITH credits AS (
        SELECT unnest(c.records) AS id FROM billing_creditnote c WHERE c.tenant_id = p_tenant AND c.period_start = p_month)
    SELECT u.currency::text, k.kind, u.model::text, u.meter::text, k.price_id,
           CASE WHEN min(u.unit_price) = max(u.unit_price) THEN min(u.unit_price) END,
           CASE WHEN min(u.unit_price) = max(u.unit_price) THEN min(u.per) END,
           sum(u.quantity)::bigint, sum(u.included)::bigint, sum(u.cost),
           CASE WHEN count(*) = count(u.list_cost) THEN sum(u.list_cost) END, o.period_start, u.reason::text, count(*)
      FROM billing_usagerecord u
      LEFT JOIN billing_usagerecord o ON o.tenant_id = p_tenant AND o.id = u.corrects
      LEFT JOIN credits c ON c.id = u.id
     CROSS JOIN LATERAL (SELECT
           CASE WHEN u.corrects IS NULL THEN 'usage' WHEN c.id IS NULL THEN 'correction' ELSE 'credit' END AS kind,
           CASE WHEN u.corrects IS NULL THEN u.price_id END AS price_id) k
     WHERE u.tenant_id = p_tenant AND u.period_start = p_month
     GROUP BY u.currency, k.kind, u.model, u.meter, k.price_id, o.period_start, u.reason
     ORDER BY array_position(ARRAY['usage', 'correction', 'credit'], k.kind), u.model, u.meter, k.price_id, o.period_start,
              u.reason
$$;

-- Months that are to be closed by their day: over, with something in the ledger, the set day come. Ids only.
-- A year back: one that could not be closed on its day is tried again.
CREATE OR REPLACE FUNCTION due_statements(p_now timestamptz)
RETURNS TABLE (tenant_id uuid, month date)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT s.tenant_id, m.month FROM billing_subscription s JOIN billing_plan p ON p.id = s.plan_id
     CROSS JOIN LATERAL (SELECT coalesce(s.closing_day, p.closing_day) AS day) d
     CROSS JOIN LATERAL (
           SELECT (date_trunc('month', p_now AT TIME ZONE 'utc') - make_interval(months => back))::date AS month
             FROM generate_series(1, 12) back) m
     WHERE p_now >= (m.month + make_interval(months => 1, days => d.day - 1)) AT TIME ZONE 'utc'
       AND NOT EXISTS (SELECT 1 FROM billing_statement t WHERE t.tenant_id = s.tenant_id AND t.period_start = m.month)
       AND EXISTS (SELECT 1 FROM billing_usagerecord u
                    WHERE u.tenant_id = s.tenant_id AND u.occurred_at >= m.month::timestamp AT TIME ZONE 'utc'
                      AND u.occurred_at < (m.month + interval '1 month') AT TIME ZONE 'utc')
     ORDER BY m.month, s.tenant_id
$$;
