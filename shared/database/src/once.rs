//! Mutations that happen exactly once, however often the call is made.
//!
//! The key is claimed in the transaction of the effect, before it. Of several calls with one key,
//! one writes the row and the others wait for it in the insert; whoever loses reads the answer in
//! a second statement, whose snapshot has it. Only success is kept: a failed call may be repeated.
//!
//! So is a commit of which nobody knows whether it happened: under the key the second try finds the
//! first one's answer, or makes the effect itself.

use call::Call;
use fault::{Fault, Reason};
use prost::Message;
use sqlx::{PgExecutor, query_file};
use tonic::{Response, Status};

use crate::{Pool, Result, Tx, answer::Identity, transaction::InDoubt};

/// On an answer that was stored: the effect happened in an earlier call.
const REPLAYED: &str = "idempotency-replayed";

/// How often a key is claimed whose stored answer turns out to have expired.
const CLAIMS_MAX: usize = 3;

/// What became of a claim.
enum Claim {
    /// The effect is ours to make.
    Won,
    /// It was made before, and this was the answer.
    Answered(Vec<u8>),
    /// It was made too long ago to be remembered.
    Expired,
}

impl Pool {
    /// Does `work` once for the key of `call`, and answers a repeat with what was answered first.
    pub async fn once<T, W, F>(
        &self,
        call: &Call,
        request: &impl Message,
        work: W,
    ) -> std::result::Result<Response<T>, Status>
    where
        T: Message + Default,
        W: Fn(Tx) -> F + Sync,
        F: Future<Output = std::result::Result<T, Fault>> + Send,
    {
        let identity = Identity::of(call, request)?;
        let (answer, is_replayed) =
            self.transact(InDoubt::Repeat, |tx| answer_once(tx, &identity, &work)).await?;
        if is_replayed {
            let mut response = Response::new(answer);
            let yes = tonic::metadata::MetadataValue::from_static("true");
            response.metadata_mut().insert(REPLAYED, yes);
            return Ok(response);
        }
        self.sweeper().added(self, |pool| async move { sweep_answers(&pool).await });
        Ok(Response::new(answer))
    }
}

impl Tx {
    /// Erases what the service of `call` was asked by its caller, and has answered; the answer of
    /// this call itself is stored later.
    pub async fn erase_answers(&self, call: &Call) -> Result<()> {
        let service = call.method.map_or("", |method| method.service);
        erase_answers(self, &call.caller.key(), &format!("/{service}/")).await
    }
}

/// The answer, and whether it was a stored one.
async fn answer_once<T, W, F>(
    tx: Tx,
    identity: &Identity,
    work: &W,
) -> std::result::Result<(T, bool), Fault>
where
    T: Message + Default,
    W: Fn(Tx) -> F + Sync,
    F: Future<Output = std::result::Result<T, Fault>> + Send,
{
    match claim(&tx, identity).await? {
        Claim::Won => {
            let answer = work(tx.clone()).await?;
            let sealed = identity.seal(&answer.encode_to_vec()).map_err(Fault::internal)?;
            store_answer(&tx, identity, &sealed).await?;
            Ok((answer, false))
        }
        Claim::Answered(stored) => {
            let answer = T::decode(stored.as_slice()).map_err(Fault::internal)?;
            Ok((answer, true))
        }
        // Somebody else keeps claiming and expiring it: told to come back.
        Claim::Expired => Err(Reason::Conflict.into()),
    }
}

async fn claim(tx: &Tx, identity: &Identity) -> std::result::Result<Claim, Fault> {
    for _try in 0..CLAIMS_MAX {
        if claim_key(tx, identity).await? {
            return Ok(Claim::Won);
        }
        let Some((request_hash, answer, is_expired)) = read_answer(tx, identity).await? else {
            continue;
        };
        if is_expired {
            drop_expired_answer(tx, identity).await?;
            continue;
        }
        // What the call has made was erased since, and is not made once more.
        let sealed = answer.ok_or(Reason::NotFound)?;
        if request_hash != identity.request_hash {
            return Err(Reason::IdempotencyKeyReused.into());
        }
        let answer = identity.open(&sealed).map_err(Fault::internal)?;
        return Ok(Claim::Answered(answer));
    }
    Ok(Claim::Expired)
}

async fn claim_key(db: impl PgExecutor<'_>, identity: &Identity) -> Result<bool> {
    let Identity { caller, rpc, key_hash, request_hash, .. } = identity;
    let claimed =
        query_file!("../../queries/database/claim_key.sql", caller, rpc, key_hash, request_hash);
    Ok(claimed.execute(db).await?.rows_affected() == 1)
}

async fn read_answer(
    db: impl PgExecutor<'_>,
    identity: &Identity,
) -> Result<Option<(Vec<u8>, Option<Vec<u8>>, bool)>> {
    let Identity { caller, rpc, key_hash, .. } = identity;
    let row = query_file!("../../queries/database/read_answer.sql", caller, rpc, key_hash)
        .fetch_optional(db)
        .await?;
    Ok(row.map(|row| (row.request_hash, row.answer, row.is_expired)))
}

async fn store_answer(db: impl PgExecutor<'_>, identity: &Identity, sealed: &[u8]) -> Result<()> {
    let Identity { caller, rpc, key_hash, .. } = identity;
    query_file!("../../queries/database/store_answer.sql", caller, rpc, key_hash, sealed)
        .execute(db)
        .await?;
    Ok(())
}

async fn drop_expired_answer(db: impl PgExecutor<'_>, identity: &Identity) -> Result<()> {
    let Identity { caller, rpc, key_hash, .. } = identity;
    query_file!("../../queries/database/drop_expired_answer.sql", caller, rpc, key_hash)
        .execute(db)
        .await?;
    Ok(())
}

async fn erase_answers(db: impl PgExecutor<'_>, caller: &str, rpcs: &str) -> Result<()> {
    query_file!("../../queries/database/erase_answers.sql", caller, rpcs).execute(db).await?;
    Ok(())
}

/// How many answers were dropped.
async fn sweep_answers(db: impl PgExecutor<'_>) -> Result<u64> {
    let dropped = query_file!("../../queries/database/sweep_answers.sql").execute(db).await?;
    Ok(dropped.rows_affected())
}
