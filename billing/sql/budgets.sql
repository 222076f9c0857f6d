-- Budgets: which of them are above a caller, the accounts of their periods, what stands in them.
--
-- An account's `spent` is the sum of the ledger's rows of its period that fall under its budget, always. A budget that is
-- set within a period counts what was spent in it before, and what is held by calls under way: so admissions and
-- settlements of a tenant share an advisory lock (`stand_by_budgets`), which `open_budget` takes alone.

-- The first day of the period in which p_day lies; a total's is the day on which it starts.
CREATE OR REPLACE FUNCTION budget_starts(p_period text, p_starts_on date, p_day date)
RETURNS date LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE p_period WHEN 'day' THEN p_day WHEN 'month' THEN date_trunc('month', p_day::timestamp)::date ELSE p_starts_on END
$$;

-- The first day after the period; null: it has no end.
CREATE OR REPLACE FUNCTION budget_ends(p_period text, p_start date) RETURNS date LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE p_period WHEN 'day' THEN p_start + 1 WHEN 'month' THEN (p_start + interval '1 month')::date END
$$;

-- Whether a budget on a key and a tag (null, '': on any) is above a caller.
CREATE OR REPLACE FUNCTION budget_covers(p_budget_key uuid, p_tag_name text, p_tag_value text, p_key uuid, p_tags jsonb)
RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
    SELECT (p_budget_key IS NULL OR p_budget_key = p_key) IS TRUE AND (p_tag_name = '' OR p_tags ->> p_tag_name = p_tag_value) IS TRUE
$$;

-- No budget of the tenant is set or deleted until the caller's transaction ends. Before any row of budgets or reservations
-- is locked, or the two could wait for each other.
CREATE OR REPLACE FUNCTION stand_by_budgets(p_tenant uuid) RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock_shared(uuid_hash_extended(p_tenant, 5))
$$;

-- What the ledger's rows under a budget cost in the period that starts on p_start: the sums of its days, and the lines that
-- are not in them yet, in one snapshot. Sums that came from another server (a restored dump) do not count.
CREATE OR REPLACE FUNCTION spent_under(b billing_budget, p_start date) RETURNS numeric LANGUAGE sql STABLE AS $$
    WITH span AS MATERIALIZED (
        SELECT p_start::timestamp AT TIME ZONE 'utc' AS since,
               coalesce(budget_ends(b.period, p_start)::timestamp AT TIME ZONE 'utc', 'infinity') AS until,
               coalesce((SELECT m.up_to FROM billing_rollupmark m
                          WHERE m.up_to <= pg_snapshot_xmax(pg_current_snapshot())::text::bigint), 0) AS mark)
    SELECT coalesce(sum(x.cost), 0) FROM (
        SELECT d.cost FROM span, billing_usageday d
         WHERE span.mark > 0 AND d.tenant_id = b.tenant_id AND d.currency = b.currency
           AND budget_covers(b.key_id, b.tag_name, b.tag_value, d.key_id, d.tags)
           AND d.start >= span.since AND d.start < span.until
        UNION ALL
        SELECT u.cost FROM span, billing_usagerecord u
         WHERE u.xact >= span.mark AND u.tenant_id = b.tenant_id AND u.currency = b.currency
           AND budget_covers(b.key_id, b.tag_name, b.tag_value, u.key_id, u.tags)
           AND u.occurred_at >= span.since AND u.occurred_at < span.until) x
$$;

-- Make the accounts of the budgets above a caller at p_at that are missing, with what the ledger has of their periods.
CREATE OR REPLACE FUNCTION open_accounts(p_tenant uuid, p_key uuid, p_tags jsonb, p_at timestamptz)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO billing_budgetaccount (tenant_id, id, budget_id, period_start, spent)
        SELECT p_tenant, uuidv7(), b.id, s.start, spent_under(b, s.start)
          FROM billing_budget b
         CROSS JOIN LATERAL (SELECT budget_starts(b.period, b.starts_on, (p_at AT TIME ZONE 'utc')::date) AS start) s
         WHERE b.tenant_id = p_tenant AND budget_covers(b.key_id, b.tag_name, b.tag_value, p_key, p_tags)
           AND NOT EXISTS (SELECT 1 FROM billing_budgetaccount a
                            WHERE a.tenant_id = p_tenant AND a.budget_id = b.id AND a.period_start = s.start)
         ORDER BY b.key_id NULLS LAST, b.tag_name = '', b.id
        ON CONFLICT (tenant_id, budget_id, period_start) DO NOTHING
$$;

-- The accounts of the budgets above a caller at p_at, made where they are missing, locked in the order that all keep.
CREATE OR REPLACE FUNCTION accounts_above(p_tenant uuid, p_key uuid, p_tags jsonb, p_at timestamptz)
RETURNS SETOF uuid LANGUAGE plpgsql AS $$
BEGIN
    PERFORM stand_by_budgets(p_tenant);
    PERFORM open_accounts(p_tenant, p_key, p_tags, p_at);
    RETURN QUERY
        SELECT a.id FROM billing_budgetaccount a JOIN billing_budget b ON b.tenant_id = a.tenant_id AND b.id = a.budget_id
         WHERE a.tenant_id = p_tenant AND budget_covers(b.key_id, b.tag_name, b.tag_value, p_key, p_tags)
           AND a.period_start = budget_starts(b.period, b.starts_on, (p_at AT TIME ZONE 'utc')::date)
         ORDER BY b.key_id NULLS LAST, b.tag_name = '', b.id FOR UPDATE OF a;
END $$;

-- Nobody else is admitted, settled or changes budgets until the caller's transaction ends.
CREATE OR REPLACE FUNCTION hold_budgets_still(p_tenant uuid) RETURNS void LANGUAGE sql AS $$
    SELECT pg_advisory_xact_lock(uuid_hash_extended(p_tenant, 5))
$$;

-- The current period of a budget that was just made: what was spent in it, and the calls under way hold on it too.
-- The caller holds the budgets still.
CREATE OR REPLACE FUNCTION open_budget(p_tenant uuid, p_budget uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    b billing_budget;
    v_account uuid := uuidv7();
    v_start date;
    v_spent numeric;
BEGIN
    SELECT * INTO STRICT b FROM billing_budget WHERE tenant_id = p_tenant AND id = p_budget;
    v_start := budget_starts(b.period, b.starts_on, (clock_timestamp() AT TIME ZONE 'utc')::date);
    v_spent := spent_under(b, v_start);
    IF v_spent = 0 AND NOT EXISTS (SELECT 1 FROM billing_reservation r WHERE r.tenant_id = p_tenant AND r.state = 'open') THEN
        RETURN;  -- the first call under it opens its account
    END IF;
    INSERT INTO billing_budgetaccount (tenant_id, id, budget_id, period_start, spent)
        VALUES (p_tenant, v_account, p_budget, v_start, v_spent);
    WITH joined AS (
        UPDATE billing_reservation r
           SET accounts = (
               SELECT jsonb_agg(a.id ORDER BY o.key_id NULLS LAST, o.tag_name = '', o.id)
                 FROM billing_budgetaccount a JOIN billing_budget o ON o.tenant_id = a.tenant_id AND o.id = a.budget_id
                WHERE a.tenant_id = p_tenant AND (a.id = v_account OR r.accounts ? a.id::text))
         WHERE r.tenant_id = p_tenant AND r.state = 'open' AND r.currency = b.currency
           AND budget_covers(b.key_id, b.tag_name, b.tag_value, r.key_id, r.tags)
           AND (r.created_at AT TIME ZONE 'utc')::date >= v_start
        RETURNING r.hold)
    UPDATE billing_budgetaccount a SET held = (SELECT coalesce(sum(j.hold), 0) FROM joined j)
     WHERE a.tenant_id = p_tenant AND a.id = v_account;
END $$;

-- What a period will have cost at its end, at the pace until now: that of what is spent and of the period before, which
-- counts for a tenth of a period. Null where there is no end, or neither a period before nor a twentieth of this one.
CREATE OR REPLACE FUNCTION projected_spend(p_spent numeric, p_before numeric, p_elapsed numeric)
RETURNS numeric LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN p_before IS NOT NULL OR p_elapsed >= 0.05
           THEN round(p_spent + (1 - p_elapsed) * (p_spent + 0.1 * coalesce(p_before, 0))
                              / (p_elapsed + CASE WHEN p_before IS NULL THEN 0 ELSE 0.1 END), 12) END
$$;

-- The tenant's budgets at p_at, oldest first: the current period, what stands in its account, what it is heading for.
-- `projected` is what the period will have cost at its end, `runs_out_at` when the limit is reached at that pace: of a total
-- at the pace since it started, from its second day on; of others within their period only.
CREATE OR REPLACE FUNCTION budget_states(p_tenant uuid, p_at timestamptz)
RETURNS TABLE (budget_id uuid, period_start date, period_end date, spent numeric, held numeric, projected numeric,
               runs_out_at timestamptz)
LANGUAGE sql STABLE AS $$
    WITH account AS (
        SELECT b.id, b.limit, s.start, e.end_on, coalesce(a.spent, 0) AS spent, coalesce(a.held, 0) AS held,
               s.start::timestamp AT TIME ZONE 'utc' AS since, e.end_on::timestamp AT TIME ZONE 'utc' AS until,
               (SELECT p.spent FROM billing_budgetaccount p
                 WHERE p.tenant_id = p_tenant AND p.budget_id = b.id AND b.period <> 'total'
                   AND p.period_start = CASE b.period WHEN 'day' THEN s.start - 1 ELSE (s.start - interval '1 month')::date END
               ) AS before
          FROM billing_budget b
         CROSS JOIN LATERAL (SELECT budget_starts(b.period, b.starts_on, (p_at AT TIME ZONE 'utc')::date) AS start) s
         CROSS JOIN LATERAL (SELECT budget_ends(b.period, s.start) AS end_on) e
          LEFT JOIN billing_budgetaccount a ON a.tenant_id = b.tenant_id AND a.budget_id = b.id AND a.period_start = s.start
         WHERE b.tenant_id = p_tenant),
    paced AS (
        SELECT c.*, p.projected,
               CASE WHEN c.until IS NULL AND p_at >= c.since + interval '1 day'
                    THEN c.spent / extract(epoch FROM p_at - c.since)
                    WHEN p_at < c.until THEN (p.projected - c.spent) / extract(epoch FROM c.until - p_at) END AS per_second
          FROM account c CROSS JOIN LATERAL (
               SELECT CASE WHEN c.until IS NOT NULL THEN projected_spend(c.spent, c.before,
                      extract(epoch FROM p_at - c.since) / extract(epoch FROM c.until - c.since)) END AS projected) p)
    SELECT id, start, end_on, spent, held, projected,
           CASE WHEN per_second > 0 AND spent < "limit" AND (until IS NULL OR projected > "limit")
                 AND ("limit" - spent) / per_second < 3e9
                THEN p_at + (("limit" - spent) / per_second)::float8 * interval '1 second' END
      FROM paced ORDER BY id
$$;

-- The tenants of whose budgets one has something to tell at p_at: it reached a share at which it warns or, with p_forecast,
-- may be on its way beyond its limit. Ids only, from p_after on.
CREATE OR REPLACE FUNCTION tenants_with_budget_alerts(p_at timestamptz, p_forecast boolean, p_after uuid, p_limit int)
RETURNS TABLE (tenant_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT DISTINCT b.tenant_id FROM billing_budget b
      JOIN billing_budgetaccount a ON a.tenant_id = b.tenant_id AND a.budget_id = b.id
       AND a.period_start = CASE b.period WHEN 'day' THEN (p_at AT TIME ZONE 'utc')::date
                                          WHEN 'month' THEN date_trunc('month', p_at AT TIME ZONE 'utc')::date
                                          ELSE b.starts_on END
     WHERE b.tenant_id > p_after AND a.spent > 0 AND CASE WHEN p_forecast
           THEN b.alert_shares <> '{}' AND b.period <> 'total' AND a.spent < b.limit
            AND NOT EXISTS (SELECT 1 FROM billing_budgetalert t
                             WHERE t.tenant_id = b.tenant_id AND t.budget_id = b.id AND t.period_start = a.period_start
                               AND t.kind = 'forecast' AND t.limit = b.limit)
           ELSE EXISTS (SELECT 1 FROM unnest(b.alert_shares) s
                         WHERE a.spent * 100 >= b.limit * s
                           AND NOT EXISTS (SELECT 1 FROM billing_budgetalert t
                                            WHERE t.tenant_id = b.tenant_id AND t.budget_id = b.id
                                              AND t.period_start = a.period_start AND t.kind = 'share' AND t.share = s
                                              AND t.limit = b.limit)) END
     ORDER BY b.tenant_id LIMIT p_limit
$$;
