//! How the statements of `auth` find their rows: by an index, however many there are.

use std::{fs, path::Path};

use sqlx::{AssertSqlSafe, PgConnection, raw_sql};
use tests::App;

/// What a statement is planned as, for whatever it is asked.
async fn plan(owner: &mut PgConnection, statement: &str) -> String {
    let count = (1..=20).take_while(|n| statement.contains(&format!("${n}"))).count();
    let nulls = vec!["null"; count].join(", ");
    let prepare = format!("prepare asked as {statement}");
    raw_sql(AssertSqlSafe(prepare)).execute(&mut *owner).await.unwrap();
    let explain = if count == 0 {
        "explain execute asked".to_owned()
    } else {
        format!("explain execute asked({nulls})")
    };
    #[expect(clippy::disallowed_methods, reason = "a test asks the planner, from outside")]
    let lines: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(explain)).fetch_all(&mut *owner).await.unwrap();
    raw_sql("deallocate asked").execute(owner).await.unwrap();
    lines.join("\n")
}

#[tokio::test]
async fn no_statement_reads_a_whole_table() {
    let app = App::start().await;
    let mut owner = app.owner().await;
    // Of a few rows it would read all: that it need not is what is asked.
    let settings = "set enable_seqscan = off; set plan_cache_mode = force_generic_plan";
    raw_sql(settings).execute(&mut owner).await.unwrap();
    let queries = Path::new(env!("CARGO_MANIFEST_DIR")).join("../queries");
    let mut planned = 0;
    for function in ["auth", "revocation"] {
        for file in fs::read_dir(queries.join(function)).unwrap() {
            let path = file.unwrap().path();
            let plan = plan(&mut owner, &fs::read_to_string(&path).unwrap()).await;
            assert!(!plan.contains("Seq Scan"), "{}:\n{plan}", path.display());
            planned += 1;
        }
    }
    assert!(planned > 20, "{planned}");
}
