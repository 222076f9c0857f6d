-- Corrections of approved bills that are not posted yet: whose, which, and by whom they were approved. Ids only.
CREATE OR REPLACE FUNCTION due_bill_corrections(p_limit int)
RETURNS TABLE (tenant_id uuid, id uuid, approved_by varchar)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT c.tenant_id, c.id, b.approved_by FROM billing_billcorrection c JOIN billing_providerbill b ON b.id = c.bill_id
     WHERE b.state = 'approved' AND c.posted_id IS NULL AND c.refusal = '' ORDER BY c.id LIMIT p_limit
$$;

-- Approved bills of whose corrections none waits any more are posted.
CREATE OR REPLACE FUNCTION end_posted_bills() RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    UPDATE billing_providerbill b SET state = 'posted'
     WHERE b.state = 'approved' AND NOT EXISTS (SELECT FROM billing_billcorrection c
            WHERE c.bill_id = b.id AND c.posted_id IS NULL AND c.refusal = '')
$$;
