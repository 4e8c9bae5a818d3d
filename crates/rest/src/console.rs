//! The console: first account, login, settings (C§2.11), and the version.
//!
//! A login is a cookie; routes that need one take a [`Leave`]. Foreign pages are kept
//! out by the cookie itself (`SameSite=Strict`), by `Origin`, and by the JSON content
//! type.

use std::net::IpAddr;

use actix_web::cookie::{Cookie, SameSite};
use actix_web::http::header::{ETAG, IF_MATCH};
use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use contract::Secret;
use contract::accounts::{CreateFirstAccount, Login, LoginError, NeedsFirstAccount, Role, SetupProof};
use contract::audit::{About, AuditEntry, Deed};
use contract::settings::{GetSettings, PatchSettings, Patched};

use crate::access::is_secure;
use crate::api::Shared;
use crate::body::{Body, Fields};
use crate::dialect::{self, Refused};
use crate::dto::{Answer, Applications, Liveness, SettingsAnswer, Version};
use crate::gate::{self, Author, Leave, Own};
use crate::path::{OfApp, public_host, read};

/// The set-up token's header; in JSON it is `setupToken`.
const SETUP_HEADER: &str = "x-setup-token";

type Answered = Result<HttpResponse, Refused>;

/// Adds the routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/users/initial").route(web::post().to(first_account)))
        .service(web::resource("/first-login-status").route(read().to(first_login_status)))
        .service(web::resource("/users/authenticate").route(web::post().to(log_in)))
        .service(web::resource("/users/logout").route(web::delete().to(log_out)))
        .service(web::resource("/authentication-status").route(read().to(authentication_status)))
        .service(web::resource("/admin-status").route(read().to(admin_status)))
        .service(web::resource("/applications").route(read().to(applications)))
        .service(
            web::resource("/applications/settings/{app}")
                .route(read().to(settings))
                .route(web::post().to(change_settings)),
        )
        .service(web::resource("/version").route(read().to(version)))
        .service(web::resource("/liveness").route(read().to(liveness)));
}

async fn first_login_status(shared: Data<Shared>) -> Answered {
    let nobody = shared.ask(&shared.links.needs_first_account, NeedsFirstAccount).await?;
    Ok(dialect::ok(&yes_or_no(nobody)))
}

const fn yes_or_no(yes: bool) -> Answer {
    if yes { Answer::silent_yes() } else { Answer::silent_no() }
}

async fn first_account(shared: Data<Shared>, req: HttpRequest, body: Body) -> Answered {
    let fields = body.or_empty();
    let wanted = CreateFirstAccount {
        email: text(&fields, "email")?,
        password: Secret::new(text(&fields, "password")?),
        first_name: text(&fields, "firstName")?,
        last_name: text(&fields, "lastName")?,
        proof: proof(&shared, &req, &fields)?,
    };
    let detail = format!("{}, the first", wanted.email);
    let outcome = shared.ask(&shared.links.create_first_account, wanted).await?;
    if outcome.is_ok() {
        let author = Author { account: None, from: shared.options.addresses.caller(&req).ip };
        shared.note(&author, Deed::AddAccount, About::default(), detail).await;
    }
    Ok(dialect::with_status(dialect::first_account(outcome)))
}

fn text(fields: &Fields, name: &'static str) -> Result<String, Refused> {
    Ok(fields.short_text(name)?.unwrap_or_default())
}

/// Why the caller may make the first account (C§16.3a). The token goes before the
/// place, so that a wrong one is never covered up. The place counts only where the
/// configuration says so: a relay on this machine would lend it to strangers.
fn proof(shared: &Shared, req: &HttpRequest, fields: &Fields) -> Result<SetupProof, Refused> {
    let header = req.headers().get(SETUP_HEADER).and_then(|v| v.to_str().ok()).map(str::to_owned);
    if let Some(token) = fields.short_text("setupToken")?.or(header) {
        return Ok(SetupProof::Token(Secret::new(token)));
    }
    let local = shared.options.setup_from_loopback && shared.options.addresses.caller(req).is_local();
    Ok(if local { SetupProof::Loopback } else { SetupProof::None })
}

async fn log_in(shared: Data<Shared>, req: HttpRequest, body: Body) -> Answered {
    let fields = body.or_empty();
    let login = Login {
        email: text(&fields, "email")?,
        password: Secret::new(text(&fields, "password")?),
        peer: shared.options.addresses.caller(&req).ip,
    };
    let (email, peer) = (login.email.clone(), login.peer);
    let account = match shared.ask(&shared.links.login, login).await? {
        Ok(account) => account,
        Err(why) => {
            note_failure(&shared, why, email, peer);
            return Ok(dialect::ok(&dialect::not_logged_in(why)?));
        }
    };
    close_login(&shared, &req);
    let role = account.role;
    let author = Author { account: Some(account.clone()), from: peer };
    shared.note(&author, Deed::LogIn, About::default(), String::new()).await;
    let opened = shared.logins.open(account, shared.clock.now().mono).map_err(|_| Refused::Unavailable)?;
    Ok(dialect::respond().cookie(cookie(&req, opened)).json(dialect::logged_in(role)))
}

/// Notes a wrong password, without keeping the guesser waiting. What somebody typed
/// for a name is kept only if it is one: it may be his password.
fn note_failure(shared: &Shared, why: LoginError, email: String, from: IpAddr) {
    if why != LoginError::Wrong {
        return;
    }
    let known = shared.accounts.get(&email).is_some();
    let noted = shared.note_entry(AuditEntry {
        at: shared.clock.now().wall,
        who: Some(email).filter(|_| known),
        from,
        what: Deed::LogInFailed,
        about: About::default(),
        detail: if known { "wrong password" } else { "unknown e-mail" }.to_owned(),
    });
    actix_web::rt::spawn(noted);
}

/// For every path: applications' APIs have none in common.
fn cookie(req: &HttpRequest, value: String) -> Cookie<'static> {
    Cookie::build(gate::cookie_name(req), value)
        .path("/")
        .http_only(true)
        .same_site(SameSite::Strict)
        .secure(is_secure(req))
        .finish()
}

fn close_login(shared: &Shared, req: &HttpRequest) {
    gate::logins(req).for_each(|login| shared.logins.close(&login));
}

async fn log_out(shared: Data<Shared>, _leave: Leave<Own>, req: HttpRequest) -> Answered {
    close_login(&shared, &req);
    let mut gone = cookie(&req, String::new());
    gone.make_removal();
    Ok(dialect::respond().cookie(gone).json(Answer::silent_yes()))
}

async fn authentication_status(shared: Data<Shared>, req: HttpRequest) -> Answered {
    Ok(dialect::ok(&yes_or_no(gate::account(&shared, &req).is_some())))
}

async fn admin_status(leave: Leave<Own>) -> Answered {
    Ok(dialect::ok(&yes_or_no(leave.account.role == Role::Admin)))
}

async fn applications(shared: Data<Shared>, _leave: Leave<Own>) -> Answered {
    Ok(dialect::ok(&Applications { applications: shared.settings.apps() }))
}

async fn settings(shared: Data<Shared>, _leave: Leave<gate::Settings>, path: Path<OfApp>) -> Answered {
    let app = path.into_inner().app;
    let document = shared.ask(&shared.links.get_settings, GetSettings { app }).await?;
    let document = document.ok_or(Refused::NotFound)?;
    Ok(dialect::respond().insert_header((ETAG, tag(document.revision))).json(document.values))
}

fn tag(revision: u64) -> String {
    format!("\"{revision}\"")
}

async fn change_settings(
    shared: Data<Shared>,
    leave: Leave<gate::Settings>,
    path: Path<OfApp>,
    req: HttpRequest,
    body: Body,
) -> Answered {
    let about = About::from(&path.app);
    let patch = PatchSettings {
        app: path.into_inner().app,
        expected: expected(&req)?,
        patch: body.0.ok_or(Refused::NoObject)?.0,
    };
    match shared.ask(&shared.links.patch_settings, patch).await? {
        Ok(Patched { revision, changed }) => {
            shared.note(&leave.author(), Deed::ChangeSettings, about, changed.join(", ")).await;
            Ok(dialect::respond().insert_header((ETAG, tag(revision))).json(SettingsAnswer::yes()))
        }
        Err(why) => Ok(dialect::ok(&SettingsAnswer::no(dialect::settings_refused(&why)?))),
    }
}

/// The revision that the caller changes. One strong tag or `*`; any other is not
/// the current one.
fn expected(req: &HttpRequest) -> Result<Option<u64>, Refused> {
    let Some(value) = req.headers().get(IF_MATCH) else { return Ok(None) };
    let value = value.to_str().unwrap_or_default().trim();
    if value == "*" {
        return Ok(None);
    }
    let revision = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).and_then(|v| v.parse().ok());
    revision.map(Some).ok_or(Refused::Stale)
}

async fn version(shared: Data<Shared>, _leave: Leave<Own>) -> Answered {
    Ok(dialect::ok(&Version::new(&shared.options.version)))
}

/// The same for callers of an application's API, without login.
pub(crate) async fn app_version(shared: Data<Shared>) -> Answered {
    Ok(dialect::ok(&Version::new(&shared.options.version)))
}

async fn liveness(shared: Data<Shared>, req: HttpRequest) -> Answered {
    Ok(dialect::ok(&Liveness::new(public_host(&req, &shared.options))))
}
