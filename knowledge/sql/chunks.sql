-- A store file's chunks come and go as a whole, each in one call inside the caller's transaction and scope. The caller
-- has locked the store's row, so that two files of one store do not wait for each other's terms in a circle.

-- Counts by name, added up; a name whose count reaches 0 goes.
CREATE OR REPLACE FUNCTION counted_together(p_counts jsonb, p_more jsonb)
RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(jsonb_object_agg(name, n), '{}') FROM (
        SELECT key AS name, sum(value::bigint) AS n FROM (
            SELECT * FROM jsonb_each_text(p_counts) UNION ALL SELECT * FROM jsonb_each_text(coalesce(p_more, '{}'))) every
         GROUP BY key HAVING sum(value::bigint) > 0) counted
$$;

-- The page on which a place in a file's text lies. Null without pages, and where the file has several texts, each with
-- offsets of its own, because stores prepare it differently.
CREATE OR REPLACE FUNCTION page_of(p_tenant uuid, p_file uuid, p_place int)
RETURNS int LANGUAGE sql STABLE AS $$
    SELECT max((page ->> 0)::int) FILTER (WHERE (page ->> 1)::int <= p_place)
      FROM knowledge_document d CROSS JOIN LATERAL jsonb_array_elements(d.pages) AS page
     WHERE d.tenant_id = p_tenant AND d.file_id = p_file
    HAVING count(DISTINCT d.id) = 1
$$;

-- Remove the parts that a long document's ingestion was cut into, with their work. The attachment is locked first, as a
-- part that ends does, or the two could wait for each other.
CREATE OR REPLACE FUNCTION remove_parts(p_tenant uuid, p_store_file uuid)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM knowledge_vectorstorefile f WHERE f.tenant_id = p_tenant AND f.id = p_store_file FOR UPDATE;
    WITH gone AS (
        DELETE FROM knowledge_ingestionpart p WHERE p.tenant_id = p_tenant AND p.store_file_id = p_store_file
        RETURNING p.id)
    DELETE FROM tenants_work w USING gone WHERE w.tenant_id = p_tenant AND w.id = gone.id;
END $$;

-- Remove all that search reads of a store file, and what its ingestion has left. Removing what is not there does nothing.
CREATE OR REPLACE FUNCTION remove_chunks(p_tenant uuid, p_store uuid, p_store_file uuid)
RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM remove_parts(p_tenant, p_store_file);
    WITH gone AS (
        DELETE FROM knowledge_chunkterms k
         WHERE k.tenant_id = p_tenant AND k.store_id = p_store AND k.store_file_id = p_store_file
        RETURNING k.weights, k.length),
    terms AS (
        SELECT split_part(entry, ':', 1)::int AS term, count(*) AS n
          FROM gone, string_to_table(split_part(ltrim(gone.weights::text, '{'), '}', 1), ',') AS entry GROUP BY 1),
    forgotten AS (
        UPDATE knowledge_storeterm t SET chunks = t.chunks - terms.n FROM terms
         WHERE t.tenant_id = p_tenant AND t.store_id = p_store AND t.term = terms.term)
    UPDATE knowledge_vectorstore v SET term_count = v.term_count - coalesce((SELECT sum(length) FROM gone), 0)
     WHERE v.tenant_id = p_tenant AND v.id = p_store;
    DELETE FROM knowledge_embedding e
     WHERE e.tenant_id = p_tenant AND e.store_id = p_store AND e.store_file_id = p_store_file;
    WITH gone AS (
        DELETE FROM knowledge_chunk c WHERE c.tenant_id = p_tenant AND c.store_file_id = p_store_file
        RETURNING c.language),
    languages AS (SELECT jsonb_object_agg(language, n) AS less FROM (
        SELECT language, -count(*) AS n FROM gone GROUP BY language) counted)
    UPDATE knowledge_vectorstore v
       SET chunk_count = v.chunk_count - (SELECT count(*) FROM gone), revision = v.revision + 1,
           languages = counted_together(v.languages, (SELECT less FROM languages))
     WHERE v.tenant_id = p_tenant AND v.id = p_store;
END $$;

-- Write chunks of a store file with their vectors: [{ordinal, text, start, end, page, heading, tokens, language,
-- passages: [[start, end, tokens], …] and vectors: ["[x, …]", …], one for each passage}]. Returns how many chunks were
-- written: those that are there already are another run's, and the caller's transaction must be undone.
CREATE OR REPLACE FUNCTION write_chunks(p_tenant uuid, p_store uuid, p_store_file uuid, p_space uuid, p_chunks json)
RETURNS bigint LANGUAGE sql AS $$
    WITH pieces AS MATERIALIZED (
        SELECT uuidv7() AS id, p.* FROM json_to_recordset(p_chunks) AS p (
            ordinal int, text text, start int, "end" int, page int, heading text, tokens int, language text,
            passages jsonb, vectors json)),
    written AS (
        INSERT INTO knowledge_chunk (
                tenant_id, id, store_file_id, ordinal, text, start, "end", page, heading, tokens, language)
            SELECT p_tenant, p.id, p_store_file, p.ordinal, p.text, p.start, p."end", p.page, p.heading, p.tokens,
                   p.language FROM pieces p
            ON CONFLICT (tenant_id, store_file_id, ordinal) DO NOTHING RETURNING 1),
    embedded AS (
        INSERT INTO knowledge_embedding (
                tenant_id, id, space_id, chunk_id, passage, start, "end", store_id, store_file_id, embedding)
            SELECT p_tenant, uuidv7(), p_space, p.id, v.n - 1, (p.passages -> (v.n::int - 1) ->> 0)::int,
                   (p.passages -> (v.n::int - 1) ->> 1)::int, p_store, p_store_file, v.vector::halfvec
              FROM pieces p CROSS JOIN LATERAL json_array_elements_text(p.vectors) WITH ORDINALITY AS v (vector, n))
    SELECT count(*) FROM written
$$;

-- Give a store file the chunks and vectors that another one of the same content has.
CREATE OR REPLACE FUNCTION copy_chunks(p_tenant uuid, p_from uuid, p_store uuid, p_store_file uuid)
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_space uuid := (SELECT v.space_id FROM knowledge_vectorstore v WHERE v.tenant_id = p_tenant AND v.id = p_store);
BEGIN
    INSERT INTO knowledge_chunk (tenant_id, id, store_file_id, ordinal, text, start, "end", page, heading, tokens, language)
        SELECT c.tenant_id, uuidv7(), p_store_file, c.ordinal, c.text, c.start, c."end", c.page, c.heading, c.tokens,
               c.language
          FROM knowledge_chunk c WHERE c.tenant_id = p_tenant AND c.store_file_id = p_from;
    INSERT INTO knowledge_embedding (
            tenant_id, id, space_id, chunk_id, passage, start, "end", store_id, store_file_id, embedding)
        SELECT p_tenant, uuidv7(), e.space_id, mine.id, e.passage, e.start, e."end", p_store, p_store_file, e.embedding
          FROM knowledge_chunk mine
          JOIN knowledge_chunk theirs ON theirs.tenant_id = p_tenant AND theirs.store_file_id = p_from
                                     AND theirs.ordinal = mine.ordinal
          JOIN knowledge_embedding e ON e.tenant_id = p_tenant AND e.chunk_id = theirs.id AND e.space_id = v_space
         WHERE mine.tenant_id = p_tenant AND mine.store_file_id = p_store_file;
END $$;

-- Give a file the text, prepared in one way, that another one of the same content has. No page of it was recognised for
-- this file, so it has none to pay for.
CREATE OR REPLACE FUNCTION copy_documents(p_tenant uuid, p_from uuid, p_file uuid, p_preparation text)
RETURNS void LANGUAGE sql AS $$
    INSERT INTO knowledge_document (
            tenant_id, id, file_id, preparation, text, pages, title, language, mime_type, ocr_pages, warnings)
        SELECT d.tenant_id, uuidv7(), p_file, d.preparation, d.text, d.pages, d.title, d.language, d.mime_type,
               0, d.warnings
          FROM knowledge_document d WHERE d.tenant_id = p_tenant AND d.file_id = p_from AND d.preparation = p_preparation
        ON CONFLICT (tenant_id, file_id, preparation) DO NOTHING
$$;

-- Count a store file's new chunks in its store, and write their terms.
CREATE OR REPLACE FUNCTION publish_chunks(p_tenant uuid, p_store uuid, p_store_file uuid)
RETURNS TABLE (chunks bigint, bytes bigint) LANGUAGE plpgsql AS $$
DECLARE
    v_terms bigint := index_terms(p_tenant, p_store, p_store_file);
BEGIN
    SELECT count(*), coalesce(sum(octet_length(c.text)), 0) INTO chunks, bytes
      FROM knowledge_chunk c WHERE c.tenant_id = p_tenant AND c.store_file_id = p_store_file;
    bytes := bytes + coalesce((SELECT sum(pg_column_size(e.embedding)) FROM knowledge_embedding e
        WHERE e.tenant_id = p_tenant AND e.store_id = p_store AND e.store_file_id = p_store_file), 0);
    UPDATE knowledge_vectorstore v
       SET chunk_count = v.chunk_count + chunks, term_count = v.term_count + v_terms, revision = v.revision + 1,
           last_active_at = clock_timestamp(), languages = counted_together(v.languages, (
               SELECT jsonb_object_agg(language, n) FROM (
                   SELECT c.language, count(*) AS n FROM knowledge_chunk c
                    WHERE c.tenant_id = p_tenant AND c.store_file_id = p_store_file GROUP BY c.language) more))
     WHERE v.tenant_id = p_tenant AND v.id = p_store;
    RETURN NEXT;
END $$;

-- Measure a store's files anew, after their vectors were replaced by others.
CREATE OR REPLACE FUNCTION measure_files(p_tenant uuid, p_store uuid)
RETURNS void LANGUAGE sql AS $$
    UPDATE knowledge_vectorstorefile f SET usage_bytes = text.bytes + coalesce(vectors.bytes, 0)
      FROM (SELECT c.store_file_id, sum(octet_length(c.text)) AS bytes
              FROM knowledge_vectorstorefile g
              JOIN knowledge_chunk c ON c.tenant_id = p_tenant AND c.store_file_id = g.id
             WHERE g.tenant_id = p_tenant AND g.store_id = p_store GROUP BY 1) text
      LEFT JOIN (SELECT e.store_file_id, sum(pg_column_size(e.embedding)) AS bytes FROM knowledge_embedding e
                  WHERE e.tenant_id = p_tenant AND e.store_id = p_store GROUP BY 1) vectors
             ON vectors.store_file_id = text.store_file_id
     WHERE f.tenant_id = p_tenant AND f.id = text.store_file_id
$$;

-- A step of removing what hangs on a store, files of some p_limit chunks; true where nothing is left. A deleted store goes
-- with its list of files; an expired one keeps that. The caller has locked the store.
CREATE OR REPLACE FUNCTION purge_store(p_tenant uuid, p_store uuid, p_limit int)
RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    v_deleted boolean := (SELECT v.deleted_at IS NOT NULL FROM knowledge_vectorstore v
                           WHERE v.tenant_id = p_tenant AND v.id = p_store);
    v_files uuid[];
    v_chunks uuid[];
    v_removed bigint;
BEGIN
    SELECT array_agg(id) INTO v_files FROM (
        SELECT f.id, sum(f.chunk_count) OVER (ORDER BY f.id) - f.chunk_count AS before FROM knowledge_vectorstorefile f
         WHERE f.tenant_id = p_tenant AND f.store_id = p_store AND f.chunk_count > 0) counted
     WHERE before < p_limit;
    -- Written first: whoever copies these chunks for a file of the same content has locked the row, or finds it empty.
    UPDATE knowledge_vectorstorefile f SET chunk_count = 0, usage_bytes = 0
     WHERE f.tenant_id = p_tenant AND f.id = ANY (v_files);
    SELECT array_agg(c.id) INTO v_chunks
      FROM knowledge_chunk c WHERE c.tenant_id = p_tenant AND c.store_file_id = ANY (v_files);
    DELETE FROM knowledge_chunkterms k WHERE k.tenant_id = p_tenant AND k.chunk_id = ANY (v_chunks);
    DELETE FROM knowledge_embedding e WHERE e.tenant_id = p_tenant AND e.chunk_id = ANY (v_chunks);
    DELETE FROM knowledge_chunk c WHERE c.tenant_id = p_tenant AND c.id = ANY (v_chunks);
    IF EXISTS (SELECT 1 FROM knowledge_vectorstorefile f
                WHERE f.tenant_id = p_tenant AND f.store_id = p_store AND f.chunk_count > 0) THEN
        RETURN false;
    END IF;
    DELETE FROM knowledge_storeterm t WHERE t.tenant_id = p_tenant AND t.id IN (
        SELECT k.id FROM knowledge_storeterm k WHERE k.tenant_id = p_tenant AND k.store_id = p_store LIMIT 10 * p_limit);
    GET DIAGNOSTICS v_removed = ROW_COUNT;
    IF v_removed = 10 * p_limit THEN
        RETURN false;
    END IF;
    PERFORM remove_parts(p_tenant, f.id) FROM knowledge_vectorstorefile f
     WHERE f.tenant_id = p_tenant AND f.store_id = p_store
       AND EXISTS (SELECT 1 FROM knowledge_ingestionpart p WHERE p.tenant_id = p_tenant AND p.store_file_id = f.id);
    DELETE FROM tenants_work w USING knowledge_reembedding r
     WHERE w.tenant_id = p_tenant AND r.tenant_id = p_tenant AND r.store_id = p_store AND w.id = r.unit_id;
    DELETE FROM knowledge_reembedding r WHERE r.tenant_id = p_tenant AND r.store_id = p_store;
    IF NOT v_deleted THEN
        UPDATE knowledge_vectorstore v SET chunk_count = 0, term_count = 0, languages = '{}', revision = v.revision + 1
         WHERE v.tenant_id = p_tenant AND v.id = p_store;
        RETURN true;
    END IF;
    DELETE FROM knowledge_filebatchentry b USING knowledge_filebatch a
     WHERE b.tenant_id = p_tenant AND a.tenant_id = p_tenant AND a.store_id = p_store AND b.batch_id = a.id;
    DELETE FROM knowledge_filebatch b WHERE b.tenant_id = p_tenant AND b.store_id = p_store;
    DELETE FROM tenants_work w USING knowledge_vectorstorefile f
     WHERE w.tenant_id = p_tenant AND f.tenant_id = p_tenant AND f.store_id = p_store AND w.id = f.id;
    DELETE FROM knowledge_vectorstorefile f WHERE f.tenant_id = p_tenant AND f.store_id = p_store;
    DELETE FROM knowledge_vectorstore v WHERE v.tenant_id = p_tenant AND v.id = p_store;
    RETURN true;
END $$;
