-- Every price, cost and allowance in force at p_now for models of a tenant, the newest of each kind: one round trip.
-- kind: list, plan, contract (what the tenant pays), cost (what the platform pays; by provider, '' for any),
-- plan_allowance, contract_allowance (units a month as amount; model '' for any). Allowances count by months (UTC).
CREATE OR REPLACE FUNCTION prices_in_force(p_tenant uuid, p_models text[], p_currency text, p_now timestamptz)
RETURNS TABLE (kind text, id uuid, model text, meter text, provider text, amount numeric, per int, tiers jsonb)
LANGUAGE sql STABLE AS $$
    (SELECT DISTINCT ON (p.model, p.meter) 'list', p.id, p.model::text, p.meter::text, '', p.amount, p.per, p.tiers
       FROM billing_price p
      WHERE p.plan_id IS NULL AND p.model = ANY (p_models) AND p.currency = p_currency AND p.valid_from <= p_now
      ORDER BY p.model, p.meter, p.valid_from DESC)
    UNION ALL
    (SELECT DISTINCT ON (p.model, p.meter) 'plan', p.id, p.model::text, p.meter::text, '', p.amount, p.per, p.tiers
       FROM billing_price p JOIN billing_subscription s ON s.tenant_id = p_tenant AND s.plan_id = p.plan_id
      WHERE p.model = ANY (p_models) AND p.currency = p_currency AND p.valid_from <= p_now
      ORDER BY p.model, p.meter, p.valid_from DESC)
    UNION ALL
    (SELECT DISTINCT ON (p.model, p.meter) 'contract', p.id, p.model::text, p.meter::text, '', p.amount, p.per, p.tiers
       FROM billing_tenantprice p
      WHERE p.tenant_id = p_tenant AND p.model = ANY (p_models) AND p.currency = p_currency AND p.valid_from <= p_now
      ORDER BY p.model, p.meter, p.valid_from DESC)
    UNION ALL
    (SELECT DISTINCT ON (p.model, p.meter, p.provider) 'cost', p.id, p.model::text, p.meter::text, p.provider::text, p.amount,
            p.per, NULL::jsonb
       FROM billing_providerprice p
      WHERE p.model = ANY (p_models) AND p.currency = p_currency AND p.valid_from <= p_now
      ORDER BY p.model, p.meter, p.provider, p.valid_from DESC)
    UNION ALL
    (SELECT DISTINCT ON (a.model, a.meter) 'plan_allowance', a.id, a.model::text, a.meter::text, '', a.quantity::numeric, 1,
            NULL::jsonb
       FROM billing_planallowance a JOIN billing_subscription s ON s.tenant_id = p_tenant AND s.plan_id = a.plan_id
      WHERE a.model = ANY (p_models || ''::text) AND a.valid_from <= (p_now AT TIME ZONE 'utc')::date
      ORDER BY a.model, a.meter, a.valid_from DESC)
    UNION ALL
    (SELECT DISTINCT ON (a.model, a.meter) 'contract_allowance', a.id, a.model::text, a.meter::text, '', a.quantity::numeric, 1,
            NULL::jsonb
       FROM billing_tenantallowance a
      WHERE a.tenant_id = p_tenant AND a.model = ANY (p_models || ''::text)
        AND a.valid_from <= (p_now AT TIME ZONE 'utc')::date
      ORDER BY a.model, a.meter, a.valid_from DESC)
$$;
