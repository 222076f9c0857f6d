-- What all tenants used and were charged in a span of time, by model, meter and currency: sums only, for metrics.
CREATE OR REPLACE FUNCTION usage_totals(p_since timestamptz, p_until timestamptz)
RETURNS TABLE (model text, meter text, currency text, quantity numeric, cost numeric)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT u.model::text, u.meter::text, u.currency::text, sum(u.quantity), sum(u.cost) FROM billing_usagerecord u
     WHERE u.occurred_at >= p_since AND u.occurred_at < p_until GROUP BY 1, 2, 3
$$;
