//! A server that cannot, for a reason of its own: no disk left, about to stop.

use std::{fs, os::unix::fs::symlink, path::PathBuf};

use fault::Fault;
use sqlx::{Connection, PgConnection, Row};
use tests::{Cluster, world};
use tonic::{Code, Status};

use super::{Bench, Database, PATIENT, out_of_reach, run};

/// Where a table's rows lie; none if that is not on this machine, or not ours to see.
#[expect(clippy::disallowed_methods, reason = "a test looks at the tables from outside")]
async fn file(database: &Database, table: &str) -> Option<PathBuf> {
    let place = "select current_setting('data_directory'), pg_relation_filepath($1::regclass)";
    let row = sqlx::query(place).bind(table).fetch_one(&mut database.owner().await).await.unwrap();
    let path = PathBuf::from(row.get::<String, _>(0)).join(row.get::<String, _>(1));
    path.exists().then_some(path)
}

#[tokio::test]
async fn a_full_disk_is_an_outage_for_who_writes_and_nothing_for_who_reads() {
    let bench = Bench::new().await;
    let table = "create table mayfly_user.heap (text text);
        grant select, insert on mayfly_user.heap to mayfly_user";
    bench.database.sql(table).await;
    let Some(file) = file(&bench.database, "mayfly_user.heap").await else {
        return out_of_reach("the disk of a server that runs elsewhere cannot be filled");
    };
    // Its disk is the one that is always full.
    fs::remove_file(&file).unwrap();
    symlink("/dev/full", &file).unwrap();
    let insert = "insert into mayfly_user.heap values ('x')";
    let error = run(&bench.pool, insert).await.unwrap_err();
    assert!(format!("{error:?}").contains("53100"), "{error:?}");
    let status = Status::from(Fault::from(error));
    assert_eq!(status.code(), Code::Unavailable);

    run(&bench.pool, "select from mayfly_user.profile").await.unwrap();
    fs::remove_file(&file).unwrap();
    fs::write(&file, "").unwrap();
    let owner = fs::metadata(file.parent().unwrap()).unwrap();
    let (user, group) =
        (std::os::unix::fs::MetadataExt::uid(&owner), std::os::unix::fs::MetadataExt::gid(&owner));
    std::os::unix::fs::chown(&file, Some(user), Some(group)).unwrap();
    // The backend that saw the full one has it open.
    let terminate = "select pg_terminate_backend(pid) from pg_stat_activity where";
    bench.database.sql(&format!("{terminate} {}", super::OURS)).await;
    run(&bench.pool, "select 1").await.unwrap();
    run(&bench.pool, insert).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_about_to_stop_is_an_outage_for_who_comes_and_nothing_for_who_is_there() {
    let Some(mut cluster) = Cluster::start().await else { return };
    let database = Database(world().new_database().await);
    let (url, owner_url) = (cluster.runtime_url(), cluster.owner_url());
    let bench = Bench::on(database, &[("DATABASE_URL", &url), PATIENT]);
    run(&bench.pool, "select 1").await.unwrap();
    // It stops when the last session has ended, and takes no new one.
    cluster.signal("TERM");
    tests::until("it refuses", super::SOON, async || {
        let refused = PgConnection::connect(&owner_url).await.err();
        let refused = refused.as_ref().and_then(sqlx::Error::as_database_error);
        refused.and_then(sqlx::error::DatabaseError::code).is_some_and(|code| code == "57P03")
    })
    .await;
    run(&bench.pool, "select 1").await.unwrap();
    let (one, two) = (run(&bench.pool, "select pg_sleep(0.5)"), run(&bench.pool, "select 1"));
    let (one, two) = tokio::join!(one, two);
    one.unwrap();
    let status = Status::from(Fault::from(two.unwrap_err()));
    assert_eq!(status.code(), Code::Unavailable);
    cluster.kill("QUIT");
}
