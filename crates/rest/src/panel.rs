//! What only our own panel asks (`/rest/v2/panel/…`).
//!
//! Everything here needs a login; which role may do what is in [`gate`](crate::gate).

mod csv;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod guesses;
mod preview;
mod seats;
mod streams;
mod subscribers;
mod thumbnail;
mod watch;

use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use contract::audit::ListAudit;
use contract::settings::ListSettings;

pub(crate) use thumbnail::Stills;
pub(crate) use watch::Watching;

use crate::access::is_secure;
use crate::api::Shared;
use crate::dialect::{self, Refused};
use crate::dto::{Addresses, AuditList, Me, Reach, Setting};
use crate::gate::{Audit, Leave, Own, Settings};
use crate::path::{Query, read};

/// Entries in one page, whatever is asked for.
const MAX_PAGE: usize = 200;

type Answered = Result<HttpResponse, Refused>;

/// Adds the routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(
        web::scope("/panel")
            .service(web::resource("/me").route(read().to(me)))
            .service(web::resource("/addresses").route(read().to(addresses)))
            .service(web::resource("/settings").route(read().to(settings)))
            .service(web::resource("/audit").route(read().to(audit)))
            .configure(guesses::routes)
            .configure(preview::routes)
            .configure(streams::routes)
            .configure(subscribers::routes)
            .configure(thumbnail::routes),
    );
}

/// Which entries of a list a query wants.
#[derive(Debug, Clone)]
struct Window {
    search: Option<String>,
    offset: usize,
    size: usize,
}

impl Window {
    fn of(query: &Query) -> Result<Self, Refused> {
        let number = |name| query.get(name).and_then(|text| text.parse::<usize>().ok());
        Ok(Self {
            search: query.search()?,
            offset: number("offset").unwrap_or(0),
            size: number("size").unwrap_or(50).min(MAX_PAGE),
        })
    }
}

async fn me(shared: Data<Shared>, leave: Leave<Own>) -> Answered {
    let account = leave.account;
    let view = shared.accounts.get(&account.email);
    Ok(dialect::ok(&Me::new(account.email, account.role, view)))
}

/// The port that the caller himself came in by is known for certain.
async fn addresses(shared: Data<Shared>, _leave: Leave<Own>, req: HttpRequest) -> Answered {
    let options = &shared.options;
    let reach = |port| Reach { host: options.addresses.host.clone(), port };
    let own = req.app_config().local_addr().port();
    let secure = is_secure(&req);
    let http = if options.ports.http == 0 && !secure { own } else { options.ports.http };
    Ok(dialect::ok(&Addresses {
        rtmp: reach(options.rtmp_port),
        rtmps: options.ports.rtmps.map(reach),
        http: reach(http),
        https: options.ports.https.map(reach),
    }))
}

async fn settings(shared: Data<Shared>, _leave: Leave<Settings>) -> Answered {
    let rows = shared.ask(&shared.links.list_settings, ListSettings).await?;
    Ok(dialect::ok(&rows.into_iter().map(Setting::from).collect::<Vec<_>>()))
}

async fn audit(shared: Data<Shared>, _leave: Leave<Audit>, req: HttpRequest) -> Answered {
    let Window { search, offset, size } = Window::of(&Query::of(&req))?;
    let page = shared.ask(&shared.links.list_audit, ListAudit { search, offset, size }).await?;
    let entries = page.entries.into_iter().map(Into::into).collect();
    Ok(dialect::ok(&AuditList { matching: page.matching, entries }))
}
