-- Lexical search. A chunk is a sparse vector: of each term the part of its BM25 score that does not depend on the
-- query; a query is a sparse vector of its terms' rarities; their inner product is the BM25 score (k1 = 1.2, b = 0.75).
-- Both sides run as the caller, under row security: the scan reads the rows of the stores that are asked, no index is
-- shared between tenants, and no operator is in the way of the policies.
--
-- A text's terms are the stems of its words in the language of its chunk, without that language's stop words, and
-- without the accents of Latin letters. Words that are joined by other signs than space count in parts and as one:
-- `AX-1200/B` is found by `AX-1200/B` best, and by `AX1200B`, `AX 1200` and `1200`. Scripts that set no space between
-- words (Chinese, Japanese, Thai …) and Korean count by pairs of letters.

-- The place of a term, 1 to 2^28; a store of 50,000 terms has some five pairs that share one.
CREATE OR REPLACE FUNCTION term_place(p_lexeme text)
RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ('x' || substr(md5(p_lexeme), 1, 7))::bit(28)::int + 1
$$;

-- Whether a letter's script sets no space between words, or (Korean) between a word and its particles.
CREATE OR REPLACE FUNCTION is_unspaced(p_letter text)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ascii(p_letter) >= 3584 AND (
        ascii(p_letter) BETWEEN 3584 AND 3839 OR ascii(p_letter) BETWEEN 4096 AND 4255
        OR ascii(p_letter) BETWEEN 6016 AND 6143 OR ascii(p_letter) BETWEEN 11904 AND 12287
        OR (ascii(p_letter) BETWEEN 12352 AND 42191 AND ascii(p_letter) <> 12539)
        OR ascii(p_letter) BETWEEN 44032 AND 55215 OR ascii(p_letter) BETWEEN 63744 AND 64255
        OR ascii(p_letter) BETWEEN 131072 AND 205743)
$$;

-- A text whose unspaced runs are set as pairs of letters that overlap, with spaces between them.
CREATE OR REPLACE FUNCTION letter_pairs(p_text text)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT string_agg(CASE
               WHEN NOT unspaced THEN letter
               WHEN following THEN ' ' || letter || next
               WHEN preceding THEN ' '
               ELSE ' ' || letter || ' ' END, '' ORDER BY n)
      FROM (SELECT letter, n, is_unspaced(letter) AS unspaced, lead(letter) OVER place AS next,
                   coalesce(is_unspaced(lead(letter) OVER place), false) AS following,
                   coalesce(is_unspaced(lag(letter) OVER place), false) AS preceding
              FROM string_to_table(p_text, NULL) WITH ORDINALITY AS t (letter, n) WINDOW place AS (ORDER BY n)) letters
$$;

-- A text as its words are looked for: composed, without invisible characters, joined words apart and, after the text,
-- as one; `e.g.` and `U.S.` as one only, for single letters say nothing. Postgres's parser would keep paths, addresses,
-- hosts and signed numbers whole, and drop what looks like a tag.
CREATE OR REPLACE FUNCTION words_apart(p_text text)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT translate(plain, '-/@._:\,+#=~<>&''’‐‑–—', '                       ') || ' ' || coalesce((
               SELECT string_agg(translate(word[1], '-/@._:\,+', ''), ' ')
                 FROM regexp_matches(plain, '[[:alnum:]]+(?:[-/@._:\\,+][[:alnum:]]+)+', 'g') AS word
                WHERE length(word[1]) <= 60), '')
      FROM (SELECT CASE WHEN octet_length(clean) = length(clean) THEN clean
                        WHEN clean ~ ('[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\ua4cf\uac00-\ud7af\uf900-\ufaff'
                                      || '\U00020000-\U000323af]')
                        THEN letter_pairs(normalize(clean, NFKC))
                        ELSE normalize(clean, NFKC) END AS plain
              FROM regexp_replace(translate(p_text, U&'\00AD\200B\200C\200D\200E\200F\2060\FEFF', ''),
                                  '\m([[:alpha:]])\.(?=[[:alpha:]]\M)', '\1', 'g') AS clean) cleaned
$$;

-- A stem without the accents of Latin letters, so that `cafe` finds `café`. Other scripts stay as they are.
CREATE OR REPLACE FUNCTION without_accents(p_lexeme text)
RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN octet_length(p_lexeme) = length(p_lexeme) THEN p_lexeme ELSE translate(p_lexeme,
        'àáâãäåāăąçćčďđèéêëēėęěğģìíîïīįıķłļľñńňòóôõöøōőŕřśšşșťţțùúûüūůűųýÿźżž',
        'aaaaaaaaacccddeeeeeeeegg' || 'iiiiiiiklllnnnoooooooorrsssstttuuuuuuuuyyzzz') END
$$;

-- The terms of a text in a language (a text search configuration), with their counts.
CREATE OR REPLACE FUNCTION terms_of(p_language regconfig, p_text text)
RETURNS TABLE (term int, n bigint) LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT term_place(without_accents(t.lexeme)), sum(cardinality(t.positions))
      FROM unnest(to_tsvector(p_language, words_apart(p_text))) t GROUP BY 1
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
          FROM knowledge_chunk c CROSS JOIN LATERAL terms_of(c.language::regconfig, c.text) t
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
-- Lucene has it). It is read in each of p_languages, the stores' own; a term counts by how likely the languages that
-- read it so are the query's, p_likely. So a word that another language writes alike, but that is a stop word in the
-- query's, hardly counts, and a name that all read alike counts in full. Null where no term occurs in the stores.
DROP FUNCTION IF EXISTS lexical_query(uuid, uuid[], text);
CREATE OR REPLACE FUNCTION lexical_query(
    p_tenant uuid, p_stores uuid[], p_text text, p_languages text[], p_likely float8[])
RETURNS sparsevec LANGUAGE sql STABLE AS $$
    SELECT sparse(array_agg(q.term), array_agg(q.n * ln(1 + (greatest(s.total - d.chunks, 0) + 0.5) / (d.chunks + 0.5))))
      FROM (SELECT t.term, sum(t.n * l.likely) AS n
              FROM unnest(p_languages, p_likely) AS l (language, likely)
             CROSS JOIN LATERAL terms_of(l.language::regconfig, p_text) t GROUP BY t.term) q
     CROSS JOIN (SELECT sum(v.chunk_count)::float8 AS total FROM knowledge_vectorstore v
                  WHERE v.tenant_id = p_tenant AND v.id = ANY (p_stores)) s
     CROSS JOIN LATERAL (SELECT sum(t.chunks)::float8 AS chunks FROM knowledge_storeterm t
                          WHERE t.tenant_id = p_tenant AND t.store_id = ANY (p_stores) AND t.term = q.term) d
     WHERE d.chunks > 0
$$;
