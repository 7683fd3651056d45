//! What a statement is read as, and what is refused.

use super::*;
use proptest::prelude::*;

fn reading(dialect: Dialect, text: &str) -> Statement {
    read(dialect, text).unwrap_or_else(|why| panic!("{text}: {why}"))
}

/// `table(columns)` of each use, `!` before what is written.
fn uses(dialect: Dialect, text: &str) -> String {
    let shown = |used: &TableUse| {
        let columns = used.columns.as_ref().map_or("*".to_owned(), |columns| columns.join(","));
        format!("{}{}({columns})", if used.write { "!" } else { "" }, used.table)
    };
    reading(dialect, text).reading.tables.iter().map(shown).collect::<Vec<_>>().join(" ")
}

#[test]
fn tables_and_columns_are_found_wherever_they_stand() {
    use Dialect::Postgres as P;
    for (text, expected) in [
        (
            "select region, sum(amount) from invoices where due < now() group by region",
            "public.invoices(amount,due,region)",
        ),
        ("select 1", ""),
        ("values (1, 2)", ""),
        ("select count(*) from invoices", "public.invoices()"),
        ("select * from invoices", "public.invoices(*)"),
        ("select i.* from invoices i join people p on p.id = i.owner", "public.invoices(*) public.people(id)"),
        ("select i.amount from invoices i join people p using (id)", "public.invoices(amount,id) public.people(id)"),
        ("select amount from invoices natural join people", "public.invoices(*) public.people(*)"),
        ("select amount from invoices, people", "public.invoices(*) public.people(*)"),
        (
            "select i.amount from invoices i where exists (select 1 from hr.salaries s where s.owner = i.owner)",
            "hr.salaries(owner) public.invoices(amount,owner)",
        ),
        ("select amount from invoices where owner in (select id from people)", "public.invoices(*) public.people(*)"),
        (
            "select x.a from (select amount as a from invoices) x join people p on p.id = x.a",
            "public.invoices(amount) public.people(id)",
        ),
        ("select a from (select amount as a from invoices) x", "public.invoices(amount)"),
        ("with t as (select amount from invoices) select t.amount from t", "public.invoices(amount)"),
        ("with invoices as (select amount from invoices) select amount from invoices", "public.invoices(amount)"),
        (
            "with recursive t as (select id, boss from people union all select p.id, p.boss from people p join t on t.id = p.boss) \
          select id from t",
            "public.people(boss,id)",
        ),
        (
            "with recursive a as (select * from b), b as (select amount from invoices) select * from a",
            "public.b(*) public.invoices(amount)",
        ),
        (
            "select amount from invoices union select salary from salaries order by amount",
            "public.invoices(amount) public.salaries(salary)",
        ),
        ("select amount as total from invoices order by total", "public.invoices(amount)"),
        ("select amount as total from invoices order by due", "public.invoices(amount,due)"),
        ("select amount as total from invoices group by total", "public.invoices(amount,total)"),
        (
            "select sum(amount) over (partition by region order by due) from invoices",
            "public.invoices(amount,due,region)",
        ),
        ("select (select max(salary) from salaries) from invoices", "public.invoices(*) public.salaries(*)"),
        ("select invoices from invoices", "public.invoices(*)"),
        ("select row_to_json(i) from invoices i", "public.invoices(*)"),
        ("select count(i.*) from invoices i", "public.invoices(*)"),
        ("select public.invoices.amount from public.invoices", "public.invoices(amount)"),
        ("select a from invoices as i (a)", "public.invoices(*)"),
        ("select x.amount from (invoices i join people p on true) as x", "public.invoices(*) public.people(*)"),
        ("select l.a from invoices i, lateral (select i.amount as a) l", "public.invoices(amount)"),
        ("select usename from pg_user", "pg_catalog.pg_user(usename)"),
        ("select table_name from information_schema.tables", "information_schema.tables(table_name)"),
        ("select \"Amount\" from \"Invoices\"", "public.Invoices(Amount)"),
        ("SELECT AMOUNT FROM INVOICES", "public.invoices(amount)"),
        ("select s.generate_series from generate_series(1, 3) s", ""),
        ("select i.tags[1], (i.tags)[2:3] from invoices i", "public.invoices(tags)"),
        ("explain select amount from invoices", "public.invoices(amount)"),
        ("select amount from invoices limit (select max(id) from people)", "public.invoices(amount) public.people(*)"),
        ("select distinct on (region) amount from invoices", "public.invoices(amount,region)"),
        (
            "select sum(amount) filter (where paid) from invoices having max(due) > now()",
            "public.invoices(amount,due,paid)",
        ),
        ("select case when paid then 1 else amount end from invoices", "public.invoices(amount,paid)"),
        ("select amount::text, cast(due as date), extract(year from due) from invoices", "public.invoices(amount,due)"),
        ("select array(select salary from salaries)", "public.salaries(salary)"),
        (
            "select string_agg(region, ',' order by due) within group (order by amount) from invoices",
            "public.invoices(amount,due,region)",
        ),
    ] {
        let found = uses(P, text);
        if text.contains("limit (select") || text.contains("(select max(salary)") {
            // The inner name may be an outer table's: it is never said to be less than all.
            assert!(found.contains("(*)"), "{text}: {found}");
        } else {
            assert_eq!(found, expected, "{text}");
        }
        assert_eq!(reading(P, text).reading.kind, StatementKind::Read, "{text}");
    }
}

#[test]
fn changes_say_what_they_write_and_what_they_look_at() {
    use Dialect::{Mysql as M, Postgres as P, Sqlite as S};
    for (dialect, text, expected) in [
        (P, "insert into invoices (region, amount) values ('n', 1)", "!public.invoices(amount,region)"),
        (P, "insert into invoices values ('n', 1)", "!public.invoices(*)"),
        (
            P,
            "insert into invoices (amount) select salary from salaries",
            "!public.invoices(amount) public.salaries(salary)",
        ),
        (P, "insert into invoices (amount) values (1) returning id", "public.invoices(id) !public.invoices(amount)"),
        (
            P,
            "insert into invoices (id) values (1) on conflict (id) do update set amount = excluded.amount",
            "public.invoices(id) !public.invoices(amount,id)",
        ),
        (P, "update invoices set paid = true where region = 'n'", "public.invoices(region) !public.invoices(paid)"),
        (
            P,
            "update invoices set amount = s.salary from salaries s where s.id = invoices.id",
            "public.invoices(id) !public.invoices(amount) public.salaries(id,salary)",
        ),
        (P, "delete from invoices where region = 'n'", "public.invoices(region) !public.invoices(*)"),
        (P, "delete from invoices", "!public.invoices(*)"),
        (
            P,
            "with gone as (delete from invoices where region = 'n' returning amount) select sum(amount) from gone",
            "public.invoices(amount,region) !public.invoices(*)",
        ),
        (P, "with x as (update people set salary = 1 returning *) select 1", "public.people(*) !public.people(salary)"),
        (
            P,
            "merge into invoices i using people p on p.id = i.owner when matched then update set amount = p.id",
            "public.invoices(owner) !public.invoices(*) public.people(id)",
        ),
        (P, "explain update invoices set paid = true", "!public.invoices(paid)"),
        (M, "replace into invoices (id, amount) values (1, 2)", "!invoices(*)"),
        (M, "insert into invoices (id) values (1) on duplicate key update amount = 2", "!invoices(amount,id)"),
        (
            M,
            "update invoices i join people p on p.id = i.owner set i.amount = 1",
            "invoices(owner) !invoices(*) people(id) !people(*)",
        ),
        (S, "insert or replace into invoices (id) values (1)", "!invoices(*)"),
        (S, "update main.invoices set paid = 1", "!invoices(paid)"),
    ] {
        assert_eq!(uses(dialect, text), expected, "{text}");
        assert_eq!(reading(dialect, text).reading.kind, StatementKind::Write, "{text}");
    }
    assert_eq!(reading(P, "select nextval('ids')").reading.kind, StatementKind::Write);
}

#[test]
fn what_cannot_be_accounted_for_is_refused() {
    use Dialect::{Mysql as M, Postgres as P, Sqlite as S, Warehouse as W};
    let long = format!("select {}", "1+".repeat(6_000));
    for (dialect, text) in [
        (P, ""),
        (P, "-- nothing"),
        (P, "select 1; select 2"),
        (P, "select 1; drop table invoices"),
        (P, "drop table invoices"),
        (P, "create table x as select * from salaries"),
        (P, "select * into x from salaries"),
        (P, "copy salaries to stdout"),
        (P, "copy (select * from salaries) to program 'mail'"),
        (P, "set role hr"),
        (P, "set session authorization hr"),
        (P, "reset role"),
        (P, "begin"),
        (P, "commit"),
        (P, "lock table invoices"),
        (P, "select * from invoices for update"),
        (P, "select * from (select * from invoices for share) x"),
        (P, "select set_config('app.user', 'other', false)"),
        (P, "select pg_catalog.set_config('app.user', 'other', false)"),
        (P, "select \"set_config\"('app.user', 'other', false)"),
        (P, "select SET_CONFIG('app.user', 'other', false)"),
        (P, "select set_config/**/('role', 'hr', false)"),
        (P, "select * from set_config('role', 'hr', false)"),
        (P, "select 1 where set_config('role', 'hr', false) is not null"),
        (P, "select query_to_xml('select * from salaries', true, false, '')"),
        (P, "select dblink_exec('host=x', 'drop table y')"),
        (P, "select pg_read_file('/etc/passwd')"),
        (P, "select lo_import('/etc/passwd')"),
        (P, "select pg_sleep(100)"),
        (P, "select pg_advisory_lock(1)"),
        (P, "select pg_terminate_backend(1)"),
        (P, "select 1 operator(evil.+) 2"),
        // PostgreSQL calls `f` for `(x).f`, and for `x.f` where `x` has no such column.
        (P, "select ('select to_tsvector(set_config(''app.person'',''ben'',false))'::text).ts_stat"),
        (P, "select s.ts_stat from unnest(array['select set_config(''app.person'',''ben'',false)']) s"),
        (P, "select unnest.ts_stat from unnest(array['select 1'])"),
        (P, "select s.ts_stat from string_to_table('select 1', ';') s"),
        (P, "select excluded.ts_stat from unnest(array['select 1']) excluded"),
        (P, "select (i).amount from invoices i"),
        (P, "select (array['select 1'])[1].ts_stat"),
        (P, "select i.notes[1].ts_stat from invoices i"),
        (P, "select (('select 1'::text).ts_stat).*"),
        (P, "select s.ts_stat[1] from unnest(array['select 1']) s"),
        (P, "select s.ts_stat from (select 'select 1') s"),
        (P, "select s.ts_stat from (values ('select 1')) as s (x)"),
        (P, "with s as (select 'select 1' as x) select s.ts_stat from s"),
        (P, "with recursive s as (select * from t), t as (select 1 as x) select s.ts_stat from s, invoices i"),
        (P, "select nobody.ts_stat from invoices"),
        (P, "insert into invoices (id) select s.ts_stat from unnest(array['select 1']) s"),
        // A source further to the right is not in sight yet: the name is taken for the outer one.
        (
            P,
            "select (select count(*) from generate_series(1, length(t.ts_stat::text)) g, (select 1 as ts_stat) t) \
             from unnest(array['select 1']) t",
        ),
        (
            P,
            "select (select 1 from invoices i join people p on t.ts_stat is null, (select 1 as ts_stat) t) \
             from unnest(array['select 1']) t",
        ),
        (P, "explain analyze delete from invoices"),
        (P, "explain (analyze) select 1"),
        (P, "do $$ begin end $$"),
        (P, "call payout(1)"),
        (P, "prepare p as select 1"),
        (P, "execute p"),
        (P, "declare c cursor for select 1"),
        (P, "table salaries"),
        (P, "vacuum"),
        (P, "truncate invoices"),
        (P, "grant select on salaries to public"),
        (P, "listen x"),
        (P, "select $1"),
        (P, "select 1 /* a /* b */ c */"),
        (P, "select * from other.public.salaries"),
        (P, "select * from \"public.salaries\""),
        (P, "select \u{0} 1"),
        (P, "select * from salarie\u{17f}"),
        (P, "select * from aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"),
        (M, "select /*!50000 salary from salaries */"),
        (M, "select 1 /*M! , salary */ from salaries"),
        (M, "select /*+ SET_VAR(max_execution_time=0) */ 1"),
        (M, "select * from salaries into outfile '/tmp/x'"),
        (M, "select salary into @x from salaries"),
        (M, "select @x := 1"),
        (M, "select @@hostname"),
        (M, "select load_file('/etc/passwd')"),
        (M, "select sleep(100)"),
        (M, "select get_lock('x', 10)"),
        (M, "select benchmark(1000000000, md5('x'))"),
        (M, "load data infile 'x' into table y"),
        (M, "show tables"),
        (M, "use hr"),
        (M, "handler salaries open"),
        (M, "select * from salaries lock in share mode"),
        (M, "select * from salaries for update"),
        (M, "delete a, b from a join b on a.id = b.id"),
        (S, "attach database 'x' as y"),
        (S, "pragma writable_schema = 1"),
        (S, "select load_extension('x')"),
        (S, "select * from pragma_table_info('salaries')"),
        (S, "vacuum into 'x'"),
        (W, "select * from url('http://x', CSV, 'a String')"),
        (W, "select * from remote('x', db, t)"),
        (W, "select * from file('x')"),
        (W, "select 1 settings readonly = 0"),
        (W, "select 1 format JSON"),
        (W, "select columns('.*') from salaries"),
        (W, "select 1 into outfile 'x'"),
        (P, &long),
    ] {
        assert!(read(dialect, text).is_err(), "{text}: {:?}", read(dialect, text));
    }
}

#[test]
fn a_comment_a_case_or_a_quote_does_not_hide_a_table() {
    use Dialect::{Mysql as M, Postgres as P, Sqlite as S, Warehouse as W};
    for (dialect, text, table) in [
        (P, "select/**/salary/**/from/**/hr.salaries", "hr.salaries"),
        (P, "select salary -- from invoices\n from hr.salaries", "hr.salaries"),
        (P, "select salary from HR.\"salaries\"", "hr.salaries"),
        (P, "select 'x from invoices' , salary from hr . salaries", "hr.salaries"),
        (P, "select $$ ' from invoices $$, salary from hr.salaries", "hr.salaries"),
        (P, "select E'\\' from invoices -- ', salary from hr.salaries", "hr.salaries"),
        (P, "select '\\', salary from hr.salaries -- '", "hr.salaries"),
        (M, "select `salary` from `hr`.`salaries`", "hr.salaries"),
        (M, "select '\\' from invoices -- ', salary from hr.salaries", "hr.salaries"),
        (M, "select \"from invoices\", salary from hr.salaries # from x", "hr.salaries"),
        (S, "select salary from [salaries]", "salaries"),
        (S, "select salary from MAIN.\"SALARIES\"", "salaries"),
        (W, "select salary from hr.salaries final", "hr.salaries"),
    ] {
        let statement = reading(dialect, text);
        let tables: Vec<&str> = statement.reading.tables.iter().map(|used| used.table.as_str()).collect();
        assert_eq!(tables, [table], "{text}");
        assert!(!statement.text.contains("--") || text.contains("'"), "{}", statement.text);
    }
    // MySQL reads `--1` as minus minus one, PostgreSQL as a comment: what is sent says what was understood.
    assert!(!reading(P, "select 1 --1").text.contains("--"));
}

#[test]
fn functions_and_casts_are_reported_in_one_spelling() {
    let found = reading(Dialect::Postgres, "select App.Region_Of(id), Lower(name), x::App.Money2 from people");
    assert_eq!(found.reading.functions, ["app.money2", "app.region_of", "lower"]);
    assert_eq!(found.unlisted, ["app.money2", "app.region_of"]);
    // PostgreSQL runs `people.to_json` as to_json(people) when there is no such column: whoever runs it has to look.
    let found = reading(Dialect::Postgres, "select people.to_json from people");
    let wanted = |column: &str| Qualified { tables: vec!["public.people".to_owned()], column: column.to_owned() };
    assert_eq!(found.qualified, [wanted("to_json")]);
    let found = reading(
        Dialect::Postgres,
        "insert into people (id) values (1) on conflict (id) do update set name = excluded.name",
    );
    assert_eq!(found.qualified, [wanted("name")]);
}

#[test]
fn a_name_behind_a_source_is_a_column_only_where_that_is_certain() {
    for (text, expected) in [
        ("select s.x from unnest(array[1]) as s (x)", ""),
        ("select s.x, s.y from json_to_record('{}') as s (x int, y text)", "json_to_record"),
        ("select s.s from generate_series(1, 3) s", "generate_series"),
        ("select s.s, s.ordinality from generate_series(1, 3) with ordinality s", "generate_series"),
        ("select e.key, e.value from json_each('{}') e", "json_each"),
        ("select e.value from jsonb_array_elements_text('[]') e", "jsonb_array_elements_text"),
        ("select x.a, x.max, x.b from (select 1 as a, max(amount), b::text from invoices) x", "max"),
        ("select x.column1 from (values (1, 2)) x", ""),
        ("with recursive x (n) as (select 1 union all select x.n + 1 from x) select x.n from x", ""),
        ("with x as (select 1 as a), y as (select * from x) select y.a from y", ""),
        ("with x as (delete from invoices returning id, amount as a) select x.id, x.a from x", ""),
        // Here it is not: the name is a call.
        ("select s.total from unnest(array[1]) s", "total"),
        ("select s.total from unnest(array[1]) as s (x)", "total"),
        ("select x.total from (select 1 as a) x", "total"),
        ("select x.total from app.rows() x", "app.rows total"),
        ("select i.total from invoices as i (a, b)", "total"),
        ("with x as (select 1 as a) select x.total from x", "total"),
        ("select y.total from (select (select 1 as total)) y", "total"),
        ("with recursive x as (select * from y), y as (select 1 as total) select x.total from x", "total"),
        ("select x.total from (invoices i join people p on true) as x (a, b)", "total"),
    ] {
        let statement = reading(Dialect::Postgres, text);
        assert_eq!(statement.reading.functions.join(" "), expected, "{text}");
        assert_eq!(statement.qualified, [], "{text}");
    }
    // And here the catalog can say it.
    let both = ["public.invoices", "public.people"];
    for (text, tables) in [
        ("select x.total from (select * from invoices) x", &both[..1]),
        ("select x.total from (select i.*, 1 as a from invoices i join people p on true) x", &both[..1]),
        ("with x as (select * from invoices, people) select x.total from x", &both[..]),
        ("select x.total from (invoices i join people p on true) as x", &both[..]),
        ("select public.invoices.total from invoices", &both[..1]),
    ] {
        let statement = reading(Dialect::Postgres, text);
        let found: Vec<_> = statement.qualified.iter().map(|one| (&one.tables[..], one.column.as_str())).collect();
        assert_eq!(found, [(&tables.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>()[..], "total")], "{text}");
        assert!(statement.unlisted.is_empty(), "{text}");
    }
}

#[test]
fn a_definition_does_not_hide_the_table_that_is_changed() {
    let text = "with people as (select 1) update people set name = name returning salary + 0";
    assert_eq!(uses(Dialect::Postgres, text), "public.people(name,salary) !public.people(name)");
}

#[test]
fn a_masked_column_may_be_shown_under_its_own_name_and_not_used() {
    let masked = BTreeMap::from([("public.people".to_owned(), BTreeSet::from(["salary".to_owned()]))]);
    for (text, hidden) in [
        ("select name, salary from people", true),
        ("select * from people", true),
        ("select p.salary from people p order by p.name", true),
        ("select name from people", true),
        ("select salary as x from people", false),
        ("select salary + 0 from people", false),
        ("select name from people where salary > 1000", false),
        ("select name from people order by salary", false),
        ("select distinct salary from people", false),
        ("select salary from people group by salary", false),
        ("select s from (select salary as s from people) x", false),
        ("with x as (select * from people) select * from x", false),
        ("select people from people", false),
        ("select salary from people union select 1", false),
        ("select max(salary) from people", false),
        ("select p.name from people p, invoices i where id = 1", false),
    ] {
        assert_eq!(walk::unmaskable(&reading(Dialect::Postgres, text), &masked).is_none(), hidden, "{text}");
    }
}

const WORDS: &[&str] = &[
    "select",
    "from",
    "where",
    "with",
    "as",
    "(",
    ")",
    ",",
    "*",
    "invoices",
    "salaries",
    "i",
    "i.amount",
    "salary",
    "join",
    "on",
    "=",
    "1",
    "'x'",
    "union",
    "group by",
    "order by",
    "insert into",
    "values",
    "update",
    "set",
    "delete from",
    "returning",
    "lateral",
    "exists",
    "in",
    "hr.",
    "\"",
    "'",
    "--",
    "/*",
    "*/",
    ";",
    "$$",
    "for update",
    "count(*)",
    "set_config('a','b',false)",
    "\\",
    "`",
    "[",
    "]",
    "::",
    "case when",
    "then",
    "end",
    "recursive",
    "using (id)",
    "natural",
    "limit",
    "null",
    "@x",
    "$1",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// Nothing panics; and what is understood is understood in the same way when it comes as it is sent.
    #[test]
    fn any_words_are_read_or_refused_and_what_is_sent_means_the_same(
        words in prop::collection::vec(prop::sample::select(WORDS), 0..24), number in 0_usize..4,
    ) {
        let dialect = [Dialect::Postgres, Dialect::Mysql, Dialect::Sqlite, Dialect::Warehouse][number];
        if let Ok(first) = read(dialect, &words.join(" ")) {
            let again = read(dialect, &first.text).expect("what was written is read");
            prop_assert_eq!(first.reading, again.reading);
            prop_assert_eq!(first.text, again.text);
        }
    }

    /// A query that is put together from parts whose use is known is never said to use less.
    #[test]
    fn a_reading_is_never_less_than_the_truth((text, truth) in query(4)) {
        // A few are beyond the parser, and refused.
        prop_assume!(read(Dialect::Postgres, &text).is_ok());
        for dialect in [Dialect::Postgres, Dialect::Mysql, Dialect::Sqlite, Dialect::Warehouse] {
            let Ok(statement) = read(dialect, &text) else { continue };
            for (table, column) in &truth {
                let name = if dialect == Dialect::Postgres { format!("public.{table}") } else { (*table).to_owned() };
                let found = statement.reading.tables.iter().find(|used| used.table == name);
                let columns = found.unwrap_or_else(|| panic!("{dialect:?} {text}: no {name}")).columns.as_ref();
                prop_assert!(columns.is_none_or(|list| list.iter().any(|one| one == column)), "{} of {} in {}", column, name, text);
            }
        }
    }
}

type Truth = BTreeSet<(&'static str, &'static str)>;

/// Queries with one column `c`, and the columns of tables that they truly use. Each table's columns begin with its letter.
fn query(depth: u32) -> impl Strategy<Value = (String, Truth)> {
    let table = prop::sample::select(&[("apples", "a1", "a2"), ("boxes", "b1", "b2"), ("crates", "c1", "c2")][..]);
    let leaf = (table, any::<bool>(), any::<bool>()).prop_map(|((name, first, second), qualified, filtered)| {
        let column = if qualified { format!("{name}.{first}") } else { first.to_owned() };
        let mut truth = Truth::from([(name, first)]);
        let mut text = format!("SELECT {column} AS c FROM {name}");
        if filtered {
            text.push_str(&format!(" WHERE {second} > 1"));
            truth.insert((name, second));
        }
        (text, truth)
    });
    leaf.prop_recursive(depth, 24, 2, |inner| {
        (inner.clone(), inner, 0..9_u8).prop_map(|((one, mut truth), (other, more), form)| {
            let text = match form {
                0 => format!("SELECT x.c AS c FROM ({one}) AS x"),
                1 => format!("SELECT c FROM ({one}) AS x WHERE EXISTS ({other})"),
                2 => format!("WITH apples AS ({one}) SELECT c AS c FROM apples"),
                3 => format!("SELECT x.c AS c FROM ({one}) AS x JOIN ({other}) AS y ON x.c = y.c"),
                4 => format!("({one}) UNION ALL ({other})"),
                5 => format!("SELECT ({one}) AS c FROM ({other}) AS boxes"),
                6 => format!("SELECT max(c) AS c FROM ({one}) AS x GROUP BY ({other})"),
                7 => format!("SELECT c AS c FROM ({one}) AS x ORDER BY ({other})"),
                _ => format!("WITH x AS ({one}), y AS ({other}) SELECT CASE WHEN x.c > 1 THEN y.c END AS c FROM x, y"),
            };
            truth.extend(if matches!(form, 0 | 2) { Truth::new() } else { more });
            (text, truth)
        })
    })
}
