//! Whether Postgres takes the statements without their predicates: one that it refuses fails whenever
//! it is sent, and every test that sends it is red for that and for nothing else.

use sqlx::{AssertSqlSafe, Connection, PgConnection, raw_sql};
use tests::world;
use tokio::runtime::Builder;

use crate::list::Mutant;

/// Has a migrated database prepare each, and tells which it has refused.
pub(crate) fn are_taken(mutants: &[Mutant]) -> Result<(), String> {
    let statements: Vec<_> = mutants.iter().filter(|mutant| mutant.is_statement()).collect();
    if statements.is_empty() {
        return Ok(());
    }
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("no runtime: {error}"))?;
    let refused = runtime.block_on(refused(&statements)).map_err(|error| error.to_string())?;
    if refused.is_empty() { Ok(()) } else { Err(refused.join("\n")) }
}

async fn refused(statements: &[&Mutant]) -> sqlx::Result<Vec<String>> {
    let url = world().owner_url(&world().new_database().await);
    let mut owner = PgConnection::connect(&url).await?;
    let mut refused = Vec::new();
    for Mutant { name, text, .. } in statements {
        let prepare = AssertSqlSafe(format!("prepare mutant as {text}"));
        match raw_sql(prepare).execute(&mut owner).await {
            Ok(_prepared) => {
                raw_sql("deallocate mutant").execute(&mut owner).await?;
            }
            Err(error) => refused.push(format!("{name} is no statement: {error}")),
        }
    }
    Ok(refused)
}
