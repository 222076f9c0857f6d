-- Lexical search. A chunk is a sparse vector: of each term the part of its BM25 score that does not depend on the
-- query; a query is a sparse vector of its terms' rarities; their inner product is the BM25 score (k1 = 1.2, b = 0.75).
-- Both sides run as the caller, under row security: the scan reads the rows of the stores that are asked, no index is
-- shared between tenants, and no operator is in the way of the policies.

-- The place of a term, 1 to 2^28; a store of 50,000 terms has some five pairs that share one.
CREATE OR REPLACE FUNCTION term_place(p_lexeme text)
RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ('x' || substr(md5(p_lexeme), 1, 7))::bit(28)::int + 1
$$;

-- The terms of a text with their counts. English stemming and stop words; other languages match by whole words.
CREATE OR REPLACE FUNCTION terms_of(p_text text)
RETURNS TABLE (term int, n bigint) LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT term_place(t.lexeme), sum(cardinality(t.positions)) FROM unnest(to_tsvector('english', p_text)) t GROUP BY 1
$$;

CREATE OR REPLACE FUNCTION sparse(p_terms int[], p_weights float8[])
RETURNS sparsevec LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ('{' || string_agg(t.term || ':' || t.weight::real, ',' ORDER BY t.term) || '}/268435456')::sparsevec
      FROM unnest(p_terms, p_weights) AS t (term, weight)
$$;

-- Write the terms of a store file's chunks and count them in the store, whose row the caller has locked. Returns the
-- terms in all, with repetition. A chunk's length counts against the store's average at this moment: the average
-- settles after a few documents, and BM25 is insensitive to it.
CREATE OR REPLACE FUNCTION index_terms(p_tenant uuid, p_store uuid, p_store_file uuid)
RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    v_total bigint;
BEGIN
    WITH counted AS MATERIALIZED (
        SELECT c.id AS chunk_id, t.term, t.n, sum(t.n) OVER (PARTITION BY c.id) AS length
          FROM knowledge_chunk c CROSS JOIN LATERAL terms_of(c.text) t
         WHERE c.tenant_id = p_tenant AND c.store_file_id = p_store_file),
    average AS (
        SELECT ((SELECT sum(n) FROM counted) + s.term_count)::float8
               / ((SELECT count(DISTINCT chunk_id) FROM counted) + s.chunk_count) AS length
          FROM knowledge_vectorstore s WHERE s.tenant_id = p_tenant AND s.id = p_store),
    written AS (
        INSERT INTO knowledge_chunkterms (tenant_id, id, chunk_id, store_id, store_file_id, weights, length)
            SELECT p_tenant, uuidv7(), c.chunk_id, p_store, p_store_file,
                   sparse(array_agg(c.term), array_agg(
                       c.n * 2.2 / (c.n + 1.2 * (0.25 + 0.75 * c.length / average.length)))), c.length
              FROM counted c CROSS JOIN average GROUP BY c.chunk_id, c.length),
    remembered AS (
        INSERT INTO knowledge_storeterm AS t (tenant_id, id, store_id, term, chunks)
            SELECT p_tenant, uuidv7(), p_store, c.term, count(*) FROM counted c GROUP BY c.term ORDER BY c.term
            ON CONFLICT (tenant_id, store_id, term) DO UPDATE SET chunks = t.chunks + excluded.chunks)
    SELECT coalesce(sum(n), 0) INTO v_total FROM counted;
    RETURN v_total;
END $$;

-- A query as a sparse vector: of each term its count × rarity over the stores together (Robertson and Spärck Jones, as
-- Lucene has it). Null where no term occurs in them.
CREATE OR REPLACE FUNCTION lexical_query(p_tenant uuid, p_stores uuid[], p_text text)
RETURNS sparsevec LANGUAGE sql STABLE AS $$
    SELECT sparse(array_agg(q.term), array_agg(q.n * ln(1 + (greatest(s.total - d.chunks, 0) + 0.5) / (d.chunks + 0.5))))
      FROM terms_of(p_text) q
     CROSS JOIN (SELECT sum(v.chunk_count)::float8 AS total FROM knowledge_vectorstore v
                  WHERE v.tenant_id = p_tenant AND v.id = ANY (p_stores)) s
     CROSS JOIN LATERAL (SELECT sum(t.chunks)::float8 AS chunks FROM knowledge_storeterm t
                          WHERE t.tenant_id = p_tenant AND t.store_id = ANY (p_stores) AND t.term = q.term) d
     WHERE d.chunks > 0
$$;
