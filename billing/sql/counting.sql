-- Allowances and tiers: what a line costs depends on how much of the month came before it.

-- p_lines, each with what its month makes of it: `included`, the units that an allowance pays for; where its price has
-- tiers `tiered_from`, the units charged before, and `first_amount`, the price of the first unit charged; `worth`, what
-- the units above the allowance cost times `per`, unrounded.
-- Locks the reservation's budgets before the counts: who settles many calls in one transaction has locked them already.
CREATE OR REPLACE FUNCTION count_units(r billing_reservation, p_lines jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_units jsonb;
    v_lines jsonb := '[]';
    v_key text;
    v_before bigint;
    v_charged bigint;
    l record;
BEGIN
    PERFORM 1 FROM jsonb_array_elements_text(r.accounts) WITH ORDINALITY e
      JOIN billing_budgetaccount a ON a.tenant_id = r.tenant_id AND a.id = e.value::uuid ORDER BY e.ordinality FOR UPDATE OF a;
    v_units := lock_counts(r.tenant_id, r.period_start);
    FOR l IN
        SELECT e.value AS line, (e.value ->> 'quantity')::bigint AS quantity, p.*
          FROM jsonb_array_elements(p_lines) WITH ORDINALITY e
          LEFT JOIN jsonb_to_recordset(r.prices) AS p (model text, meter text, amount numeric, tiers jsonb, allowance jsonb)
            ON p.model = e.value ->> 'model' AND p.meter = coalesce(e.value ->> 'priced_as', e.value ->> 'meter')
         ORDER BY e.ordinality
    LOOP
        v_charged := l.quantity;
        IF l.allowance IS NOT NULL AND l.quantity > 0 THEN
            v_key := l.allowance ->> 'id';
            v_before := coalesce((v_units ->> v_key)::bigint, 0);
            v_charged := l.quantity - greatest(0, least(l.quantity, (l.allowance ->> 'quantity')::bigint - v_before));
            v_units := v_units || jsonb_build_object(v_key, v_before + l.quantity - v_charged);
            l.line := l.line || jsonb_build_object('included', l.quantity - v_charged, 'worth', v_charged * l.amount);
        END IF;
        IF l.tiers IS NOT NULL AND l.quantity > 0 THEN
            v_key := l.model || ' ' || l.meter;
            v_before := coalesce((v_units ->> v_key)::bigint, 0);
            v_units := v_units || jsonb_build_object(v_key, v_before + v_charged);
            l.line := l.line || (SELECT jsonb_build_object('tiered_from', v_before, 'worth', g.worth, 'first_amount', g.first_amount)
                                   FROM graduated(l.tiers, v_before, v_charged) g);
        END IF;
        v_lines := v_lines || l.line;
    END LOOP;
    UPDATE billing_unitcounts SET units = v_units WHERE tenant_id = r.tenant_id AND period_start = r.period_start;
    RETURN v_lines;
END $$;

-- A month's counts, which nobody else moves until this transaction ends.
CREATE OR REPLACE FUNCTION lock_counts(p_tenant uuid, p_month date) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    v_units jsonb;
BEGIN
    FOR v_try IN 1..2 LOOP
        SELECT c.units INTO v_units FROM billing_unitcounts c
         WHERE c.tenant_id = p_tenant AND c.period_start = p_month FOR UPDATE;
        EXIT WHEN FOUND;
        INSERT INTO billing_unitcounts (tenant_id, id, period_start) VALUES (p_tenant, uuidv7(), p_month)
            ON CONFLICT (tenant_id, period_start) DO NOTHING;
    END LOOP;
    RETURN v_units;
END $$;

-- What p_units after the first p_before of a month cost times `per`, unrounded, and the price of the first of them.
-- p_tiers: [[from which unit on, "amount"], …], the first from 0; each unit has the price of the tier in which it lies.
CREATE OR REPLACE FUNCTION graduated(p_tiers jsonb, p_before bigint, p_units bigint, OUT worth numeric, OUT first_amount numeric)
LANGUAGE sql IMMUTABLE AS $$
    SELECT sum(greatest(0, least(t.until, p_before + p_units) - greatest(t.since, p_before)) * t.amount),
           (array_agg(t.amount ORDER BY t.since DESC) FILTER (WHERE t.since <= p_before))[1]
      FROM (SELECT (e.value ->> 0)::bigint AS since, (e.value ->> 1)::numeric AS amount,
                   lead((e.value ->> 0)::bigint) OVER (ORDER BY (e.value ->> 0)::bigint) AS until
              FROM jsonb_array_elements(p_tiers) e) t
$$;
