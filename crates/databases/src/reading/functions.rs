//! What is known of the functions that databases bring.
//!
//! A function that is not here may read any table or do anything: it is reported, and only the configuration of a
//! connector can say that it may be called. Those that are known to reach around a statement are refused.

use super::Dialect;

/// What is known of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Known {
    /// Its result depends on its arguments, the time or chance, and it changes nothing.
    Plain,
    /// It changes something of the database, as a statement would.
    Changes,
    /// It cannot be accounted for, because of what it does: "which …".
    Refused(&'static str),
    Unlisted,
}

/// What `name` is, in the dialect's one spelling.
pub fn known(dialect: Dialect, name: &str) -> Known {
    for (names, why) in refused(dialect) {
        if listed(names, name) {
            return Known::Refused(why);
        }
    }
    let own = match dialect {
        Dialect::Postgres => POSTGRES,
        Dialect::Mysql => MYSQL,
        Dialect::Sqlite => SQLITE,
        Dialect::Warehouse => WAREHOUSE,
    };
    if listed(COMMON, name) || listed(own, name) {
        Known::Plain
    } else if dialect == Dialect::Postgres && listed(POSTGRES_CHANGES, name) {
        Known::Changes
    } else {
        Known::Unlisted
    }
}

/// The columns that come out of one of PostgreSQL's own functions in FROM; `alias` is its source's. Nothing where that is
/// not certain.
pub fn outputs(name: &str, alias: String) -> Vec<String> {
    if listed("json_each json_each_text jsonb_each jsonb_each_text", name) {
        vec!["key".to_owned(), "value".to_owned()]
    } else if listed("json_array_elements* jsonb_array_elements*", name) {
        vec!["value".to_owned()]
    } else if listed(POSTGRES_SCALARS, name) {
        vec![alias]
    } else {
        Vec::new()
    }
}

/// Whether a cast to it runs only what the database brings.
pub fn is_plain_type(dialect: Dialect, name: &str) -> bool {
    dialect != Dialect::Postgres || listed(POSTGRES_TYPES, name)
}

/// `*` at the end of a listed name stands for the rest of any.
fn listed(names: &str, name: &str) -> bool {
    names.split_ascii_whitespace().any(|known| match known.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => known == name,
    })
}

type Refused = &'static [(&'static str, &'static str)];

fn refused(dialect: Dialect) -> Refused {
    match dialect {
        Dialect::Postgres => POSTGRES_REFUSED,
        Dialect::Mysql => MYSQL_REFUSED,
        Dialect::Sqlite => SQLITE_REFUSED,
        Dialect::Warehouse => WAREHOUSE_REFUSED,
    }
}

const RUNS: &str = "runs SQL or reads a table that is named in a string";
const FILES: &str = "reaches files of the server";
const OTHERS: &str = "connects to other servers";
const SESSION: &str = "changes the session";
const LOCKS: &str = "takes or lets go of locks";
const WAITS: &str = "only passes time";
const SERVER: &str = "acts on the server or on the sessions of others";
const COLUMNS: &str = "picks columns that are not named";

const POSTGRES_REFUSED: Refused = &[
    (
        "query_to_xml* cursor_to_xml* table_to_xml* schema_to_xml* database_to_xml* ts_stat crosstab* connectby* \
         pg_get_viewdef plpgsql_* dblink_build_sql* currtid* has_table_privilege has_column_privilege has_any_column_privilege has_schema_privilege row_security_active pg_relation_size \
         pg_total_relation_size pg_table_size pg_indexes_size pg_filenode_relation satisfies_hash_partition pg_stats_ext*",
        RUNS,
    ),
    ("pg_read_* pg_ls_* pg_stat_file pg_file_* lo_import lo_export pg_current_logfile pg_hba_file_rules", FILES),
    ("lo_* loread lowrite lo_get lo_put", "reaches large objects, which are no table"),
    ("dblink* postgres_fdw_*", OTHERS),
    ("set_config pg_stat_clear_snapshot setseed pg_prepared_* pg_cursor", SESSION),
    ("pg_advisory_* pg_try_advisory_*", LOCKS),
    ("pg_sleep*", WAITS),
    (
        "pg_terminate_backend pg_cancel_backend pg_reload_conf pg_rotate_logfile pg_notify pg_switch_wal pg_backup_* \
         pg_start_backup pg_stop_backup pg_create_* pg_drop_* pg_logical_* pg_replication_* pg_promote pg_wal_* \
         pg_export_snapshot txid_current pg_current_xact_id pg_log_backend_memory_contexts pg_stat_reset* brin_* \
         gin_clean_pending_list pg_import_system_collations pg_extension_config_dump pg_stat_get_* pg_prewarm \
         pg_logfile_rotate pg_copy_*",
        SERVER,
    ),
];

const POSTGRES_CHANGES: &str = "nextval setval";

/// In FROM they give one column, named as the source is.
const POSTGRES_SCALARS: &str = "\
    generate_series generate_subscripts json_object_keys jsonb_object_keys regexp_split_to_table string_to_table";

const MYSQL_REFUSED: Refused = &[
    ("load_file", FILES),
    ("sleep benchmark", WAITS),
    ("get_lock release_lock release_all_locks is_free_lock is_used_lock", LOCKS),
    (
        "master_pos_wait source_pos_wait wait_for_executed_gtid_set sys_exec sys_eval setval nextval lastval \
         master_gtid_wait wait_until_sql_thread_after_gtids",
        SERVER,
    ),
    ("last_insert_id", SESSION),
];

const SQLITE_REFUSED: Refused = &[
    ("load_extension", "loads code"),
    ("readfile writefile edit fsdir lsdir zipfile* sqlar_*", FILES),
    ("pragma_* dbstat fts3_tokenizer sqlite_*", RUNS),
];

const WAREHOUSE_REFUSED: Refused = &[
    ("file executable filecluster hdfs*", FILES),
    (
        "url* remote* cluster* mysql* postgresql* jdbc odbc s3* gcs* azure* mongodb* redis* sqlite* deltalake* iceberg* \
         hudi* input",
        OTHERS,
    ),
    ("sleep sleepeachrow", WAITS),
    ("merge view viewif viewexplain dictionary joinget* catboostevaluate modelevaluate numbers_mt zeros*", RUNS),
    ("columns apply", COLUMNS),
];

/// What every dialect here brings, under the same name and without effects.
const COMMON: &str = "\
    abs acos asin atan atan2 avg ceil ceiling char_length character_length coalesce concat concat_ws corr cos cot count \
    cume_dist current_date current_time current_timestamp degrees dense_rank exp first_value floor greatest if ifnull lag \
    last_value lead least left length ln localtime localtimestamp log log10 log2 lower lpad ltrim max min mod now nth_value \
    ntile nullif octet_length percent_rank pi position pow power radians random rank repeat replace reverse right round \
    row_number rpad rtrim sign sin sqrt stddev stddev_pop stddev_samp substr substring sum tan trim upper var_pop var_samp \
    variance lcase ucase bit_length ascii md5 hex unhex date time extract grouping covar_pop covar_samp any_value";

const POSTGRES: &str = "\
    age any_value array array_agg array_append array_cat array_dims array_fill array_length array_lower array_ndims \
    array_position array_positions array_prepend array_remove array_replace array_to_json array_to_string array_upper \
    bit_and bit_count bit_or bit_xor bool_and bool_or btrim cardinality cbrt chr clock_timestamp \
    convert_from convert_to cosd cosh current_catalog current_database current_role current_schema current_user date_bin \
    date_part date_trunc daterange decode div encode every factorial family format gcd gen_random_uuid generate_series \
    generate_subscripts get_bit get_byte host hostmask initcap int4range int8range isempty isfinite json_agg \
    json_array_elements json_array_elements_text json_array_length json_build_array json_build_object json_each \
    json_each_text json_extract_path json_extract_path_text json_object json_object_agg json_object_keys json_strip_nulls \
    json_typeof jsonb_agg jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array \
    jsonb_build_object jsonb_each jsonb_each_text jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object \
    jsonb_object_agg jsonb_object_keys jsonb_path_exists jsonb_path_match jsonb_path_query jsonb_path_query_array \
    jsonb_path_query_first jsonb_pretty jsonb_set jsonb_strip_nulls jsonb_typeof justify_days justify_hours \
    justify_interval lcm lower_inc lower_inf make_date make_interval make_time make_timestamp make_timestamptz masklen \
    min_scale mode netmask network normalize num_nonnulls num_nulls numrange overlay parse_ident percentile_cont \
    percentile_disc phraseto_tsquery plainto_tsquery quote_ident quote_literal quote_nullable range_agg range_merge \
    regexp_count regexp_instr regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array \
    regexp_split_to_table regexp_substr regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy \
    regr_syy row row_to_json scale session_user set_byte sha224 sha256 sha384 sha512 similarity sinh split_part \
    starts_with statement_timestamp string_agg string_to_array string_to_table strpos tanh timeofday timezone to_char \
    to_date to_hex to_json to_jsonb to_number to_timestamp to_tsquery to_tsvector transaction_timestamp translate \
    trim_array trim_scale trunc ts_headline ts_rank ts_rank_cd tsrange tstzrange unistr unnest upper_inc upper_inf user \
    version websearch_to_tsquery width_bucket word_similarity xmlagg";

const POSTGRES_TYPES: &str = "\
    bit bool box bpchar char cidr circle citext date daterange datemultirange float4 float8 hstore inet int2 int4 int4range \
    int4multirange int8 int8range interval json jsonb jsonpath line lseg macaddr macaddr8 money name numeric numrange \
    oid path point polygon text time timestamp timestamptz timetz tsquery tsrange tstzrange tsvector uuid varbit varchar xml";

const MYSQL: &str = "\
    adddate addtime aes_decrypt aes_encrypt any_value bin bin_to_uuid bit_and bit_count bit_or bit_xor char charset coercibility \
    collation compress conv convert_tz crc32 curdate current_role current_user curtime database date_add date_format date_sub \
    datediff day dayname dayofmonth dayofweek dayofyear elt export_set field find_in_set format format_bytes from_base64 \
    from_days from_unixtime get_format group_concat hour inet6_aton inet6_ntoa inet_aton inet_ntoa insert instr interval \
    is_ipv4 is_ipv6 is_uuid isnull json_array json_array_append json_array_insert json_arrayagg json_contains \
    json_contains_path json_depth json_exists json_extract json_insert json_keys json_length json_merge_patch \
    json_merge_preserve json_object json_objectagg json_overlaps json_pretty json_query json_quote json_remove json_replace \
    json_search json_set json_type json_unquote json_valid json_value last_day locate make_set makedate maketime median \
    microsecond mid minute month monthname nvl nvl2 oct ord percentile_cont percentile_disc period_add period_diff quarter \
    quote rand regexp_instr regexp_like regexp_replace regexp_substr schema sec_to_time second sha sha1 sha2 soundex space \
    std str_to_date strcmp subdate substring_index subtime sysdate time_format time_to_sec timediff timestamp timestampadd \
    timestampdiff to_base64 to_char to_days to_seconds truncate uncompress unix_timestamp user utc_date utc_time \
    utc_timestamp uuid uuid_to_bin values version week weekday weekofyear year yearweek";

const SQLITE: &str = "\
    acosh asinh atanh changes char concat cosh datetime format glob group_concat iif instr json json_array json_array_length \
    json_each json_error_position json_extract json_group_array json_group_object json_insert json_object json_patch \
    json_pretty json_quote json_remove json_replace json_set json_tree json_type json_valid jsonb jsonb_array jsonb_extract \
    jsonb_object julianday like likelihood likely median percentile printf quote randomblob sinh soundex strftime string_agg \
    subtype tanh timediff total trunc typeof unicode unixepoch unlikely zeroblob generate_series";

const WAREHOUSE: &str = "\
    adddays addhours addminutes addmonths addquarters addseconds addweeks addyears any anylast argmax argmin array arrayall \
    arraycompact arrayconcat arraycount arraydistinct arrayelement arrayenumerate arrayexists arrayjoin arraypopback \
    arraypopfront arraypushback arraypushfront arrayreduce arrayresize arrayreverse arrayslice arraysort arrayreversesort \
    arraystringconcat arraysum arrayuniq avgif bitand bitor bitxor cast countif datediff date_trunc datetrunc divide empty \
    endswith equals extractall formatdatetime greater grouparray groupuniqarray has hasall hasany indexof intdiv \
    jsonextract* jsonhas jsonlength like lowerutf8 match median medianexact minif maxif minus modulo multiif \
    multiply negate notempty notequals notlike numbers plus position quantile quantileexact quantiles quantiletiming range \
    runningdifference splitbychar splitbystring startswith stddevpop stddevsamp subtractdays subtracthours subtractmonths \
    subtractweeks subtractyears sumif tostring touint8 touint16 touint32 touint64 toint8 toint16 toint32 toint64 tofloat32 \
    tofloat64 todate todatetime todecimal32 todecimal64 todecimal128 tostartofday tostartofhour tostartofminute \
    tostartofmonth tostartofquarter tostartofweek tostartofyear toyear toquarter tomonth todayofmonth todayofweek \
    todayofyear tohour tominute tosecond tomonday today tounixtimestamp toyyyymm toyyyymmdd tuple tupleelement uniq \
    uniqcombined uniqexact upperutf8 varpop varsamp yesterday totypename assumenotnull isnull isnotnull \
    tonullable concatassumeinjective substringutf8 lengthutf8 reverseutf8 toweek arraymap arrayfilter";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_listed_in_one_way_only_and_an_unknown_one_is_unlisted() {
        assert_eq!(known(Dialect::Postgres, "lower"), Known::Plain);
        assert_eq!(known(Dialect::Postgres, "nextval"), Known::Changes);
        assert_eq!(known(Dialect::Postgres, "app.lower"), Known::Unlisted);
        assert_eq!(known(Dialect::Mysql, "generate_series"), Known::Unlisted);
        for name in ["set_config", "query_to_xml_and_xmlschema", "dblink_exec", "pg_advisory_xact_lock", "pg_sleep_for"]
        {
            assert!(matches!(known(Dialect::Postgres, name), Known::Refused(_)), "{name}");
        }
        for (dialect, own) in [
            (Dialect::Postgres, POSTGRES),
            (Dialect::Mysql, MYSQL),
            (Dialect::Sqlite, SQLITE),
            (Dialect::Warehouse, WAREHOUSE),
        ] {
            for name in COMMON.split_ascii_whitespace().chain(own.split_ascii_whitespace()) {
                assert_eq!(known(dialect, name.trim_end_matches('*')), Known::Plain, "{dialect:?} {name}");
            }
        }
    }
}
