//! Answers what a tenant asks about its own money: what it spent, what is left, one old request.
//! Does not serve a request (gateway.rs) and decides no limit.

use crate::heads::{Headers, refusal};
use crate::node::Node;
use crate::outbox::{Head, Outbox};
use crate::store::{Tenant, Trip};
use p402_core::guard::{Op, Reply};
use p402_core::id::RequestId;
use p402_core::ledger::{Asker, Question, Row, TENANT_BYTES_MAX, short_name};
use p402_core::reply::{ApiError, Code, Left, Standing, booked_json, usage_json};
use p402_core::time::Now;
use std::sync::Arc;

/// Who asks, and how it wants errors.
#[derive(Clone, Debug)]
pub struct Inquirer {
    /// `None` is the operator.
    pub tenant: Option<Arc<str>>,
    /// The client accepts `application/problem+json`.
    pub problem: bool,
}

/// `GET /usage`: always gives `outbox` exactly one reply.
pub async fn usage(
    node: Arc<Node>,
    by: Inquirer,
    params: Vec<(String, String)>,
    outbox: Arc<Outbox>,
) {
    let now = node.clock.now();
    let told = tell_usage(&node, &by, &params, now).await;
    reply(&node, &by, told, &outbox);
}

/// `GET /requests/{id}` for a request that this node does not remember.
pub async fn booked(node: Arc<Node>, by: Inquirer, id: String, outbox: Arc<Outbox>) {
    let told = tell_booked(&node, &by, &id).await;
    reply(&node, &by, told, &outbox);
}

/// No request of this tenant has such an id.
pub fn no_such_request() -> ApiError {
    let text = "no request of yours has this id";
    ApiError::new(Code::RequestNotFound, text).with_param("request_id")
}

/// What is left to a tenant, on a reply that no account was asked for or that it refused.
pub fn stand(node: &Node, tenant: &str, headers: &mut Headers, now: Now) {
    let world = node.world.load();
    let limits = &world.tenant(tenant).limits;
    let Some(home) = &node.home else { return };
    let seen = match home.store.call(&Tenant { id: tenant, limits }, Op::Renew(&[]), now.utc) {
        Trip::Made(answer) => answer.ok(),
        Trip::Underway(_) => last_seen(node, tenant, now),
    };
    if let Some(reply) = seen {
        Standing::of(&reply, limits, now.utc).headers(headers);
    }
}

/// The front adds what is left to the tenant, as it does to all its other answers.
fn reply(node: &Node, by: &Inquirer, told: Result<Vec<u8>, ApiError>, outbox: &Outbox) {
    let now = node.clock.now();
    let id = node.request_id(now);
    let head = match told {
        Ok(body) => {
            let headers = vec![
                ("content-type", "application/json".to_owned()),
                ("cache-control", "no-store".to_owned()),
                ("x-request-id", id.to_string()),
            ];
            Head { status: 200, headers, body: Some(body) }
        }
        Err(error) => refusal(&error, id, by.problem),
    };
    outbox.head(head);
}

async fn tell_usage(
    node: &Node,
    by: &Inquirer,
    params: &[(String, String)],
    now: Now,
) -> Result<Vec<u8>, ApiError> {
    let asker = by.tenant.as_deref().map_or(Asker::Operator, Asker::Tenant);
    let question = Question::read(asker, params, now.utc.utc_day())?;
    let home = node.home()?;
    let asked = question.clone();
    let answer = node.desk.ask(home, by.name(), move |books| books.usage(&asked)).await;
    let used = answer?;
    // Asked last: what is left is as new as the answer.
    let one = by.tenant.as_deref().or(question.only.tenant.as_deref());
    let limits = one.map(|tenant| node.world.load().tenant(tenant).limits);
    let balance = match one.zip(limits.as_ref()) {
        Some((id, limits)) => balance(node, &Tenant { id, limits }).await,
        None => None,
    };
    let now = node.clock.now().utc;
    let left = balance.as_ref().zip(limits.as_ref());
    let left = left.map(|(reply, limits)| Left { reply, limits, now });
    Ok(usage_json(&question, &used, left.as_ref()))
}

/// The body of one request's reply, from the ledger.
pub async fn tell_booked(node: &Node, by: &Inquirer, id: &str) -> Result<Vec<u8>, ApiError> {
    let id = RequestId::parse(id).ok_or_else(no_such_request)?;
    let rows = node.desk.ask(node.home()?, by.name(), move |books| books.request(id)).await?;
    let rows: Vec<_> = rows.iter().filter_map(|bytes| Row::decode(bytes).ok()).collect();
    let own = by.tenant.as_deref().map(|tenant| short_name(tenant, TENANT_BYTES_MAX));
    let own = rows.iter().all(|row| own.as_deref().is_none_or(|own| row.tenant == own));
    own.then(|| booked_json(&rows)).flatten().ok_or_else(no_such_request)
}

/// What the account says, or said last where it is away.
async fn balance(node: &Node, tenant: &Tenant<'_>) -> Option<Reply> {
    let now = node.clock.now();
    let home = node.home.as_ref()?;
    let asked = home.store.call(tenant, Op::Renew(&[]), now.utc).answer().await;
    asked.ok().or_else(|| last_seen(node, tenant.id, now))
}

fn last_seen(node: &Node, tenant: &str, now: Now) -> Option<Reply> {
    node.watches.with(tenant, now.utc, |seen| seen.last.clone())
}

impl Inquirer {
    fn name(&self) -> &str {
        self.tenant.as_deref().unwrap_or_default()
    }
}
