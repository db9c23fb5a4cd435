use std::path::PathBuf;
use std::time::Duration;

use thunes_rpc::{deadline, with_actor};
use thunes_supervisor::embedded::Service;
use tonic::{Request, Response, Status};

use crate::failure::CallFailed;
use crate::output::Out;
use crate::peers::Peers;

/// A usual call.
pub const CALL_WITHIN: Duration = Duration::from_secs(10);
/// The fence closes within 3.5 s at worst; this leaves room for a slow machine.
pub const ACTIVATE_WITHIN: Duration = Duration::from_secs(30);
/// The exchange is asked page by page, and twice where it does not hold still.
pub const RECONCILE_WITHIN: Duration = Duration::from_secs(110);
/// Streams have no end of their own.
pub const STREAM_WITHIN: Duration = Duration::from_secs(7 * 24 * 3600);

/// What every command gets.
#[derive(Debug)]
pub struct Context {
    pub out: Out,
    pub peers: Peers,
    pub actor: Option<String>,
    pub config: Option<PathBuf>,
    pub data_dir: Option<PathBuf>,
}

impl Context {
    /// A request with a deadline and the actor's name.
    pub fn request<T>(&self, message: T, within: Duration) -> Request<T> {
        let request = deadline(message, within);
        match &self.actor {
            Some(actor) => with_actor(request, actor),
            None => request,
        }
    }
}

/// Takes the answer out, or says which call to whom failed.
pub fn answer<T>(
    result: Result<Response<T>, Status>,
    service: Service,
    url: &str,
    call: &'static str,
) -> Result<T, CallFailed> {
    // The client's own deadline comes as CANCELLED: it is the same, the outcome is not known.
    let late = |status: Status| match status.code() {
        tonic::Code::Cancelled if status.message() == "Timeout expired" => Status::deadline_exceeded(status.message()),
        _ => status,
    };
    let failed = |status| CallFailed {
        service,
        url: url.to_owned(),
        call,
        status,
    };
    result.map(Response::into_inner).map_err(late).map_err(failed)
}
