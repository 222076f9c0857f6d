-- The lines of a slice as rows of FOCUS: what agrees in all that FOCUS tells is one row. A correction agrees with none.
--
-- contracted: without the plan's allowance, so the charged units as they were charged, the included ones at their unit
--     price; listed: the same at list prices, or as contracted where a line has none.
-- lot: how many of the ledger's units are priced at once; sold: how many lots there are; each: the price of one.
--     Byte-hours are sold by the GB-hour.
(SELECT s.*, m.name AS meter_name, m.unit, m.base, s.corrects IS NULL AS priced, p.lot,
        s.unit_price * p.lot / s.per AS each, round(s.quantity / p.lot, 14) AS sold
   FROM (SELECT {bucket} AS bucket, l.period_start, l.tenant_id, l.key_id, l.operation, l.model, l.meter, l.price_id,
                l.unit_price, l.per, l.currency, l.provider, l.tags, l.batch, l.corrects, l.reason,
                CASE WHEN l.corrects IS NOT NULL THEN l.id END AS correction, l.list_cost IS NULL AS unlisted,
                sum(l.quantity) AS quantity, sum(l.included) AS included, sum(l.leads::int) AS requests,
                sum(l.cost) AS cost, sum(w.contracted) AS contracted,
                sum(coalesce(l.list_cost, w.contracted)) AS listed,
                CASE WHEN count(l.provider_cost) = count(*) THEN sum(l.provider_cost) END AS provider_cost
           FROM (SELECT * FROM {lines}) l
          CROSS JOIN LATERAL (
                SELECT l.cost + l.variance + round(l.unit_price * l.included / l.per, 12) AS contracted) w
          GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18) s
   JOIN (VALUES {meters}) m (meter, name, unit, base) ON m.meter = s.meter
  CROSS JOIN LATERAL (SELECT CASE WHEN mod(s.per, m.base) = 0 THEN s.per ELSE m.base END::numeric AS lot) p) u
   LEFT JOIN tenants_tenant t ON t.id = u.tenant_id
   LEFT JOIN tenants_apikey k ON k.tenant_id = u.tenant_id AND k.id = u.key_id
   -- Closed months are invoiced by their statement; what is still open is not.
   LEFT JOIN billing_statement i ON i.tenant_id = u.tenant_id AND i.period_start = u.period_start
