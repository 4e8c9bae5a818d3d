//! What an account may do: the one place that says it.
//!
//! Every route that needs a login takes a [`Leave`] for an [`Area`], and gets it
//! only if the account's role may do there what the request's method says. In front
//! of an application's API a login stands instead of the address filter
//! ([`access`](crate::access)); its role counts there too, wherever it calls from.

use std::future::{Ready, ready};
use std::marker::PhantomData;
use std::net::IpAddr;

use actix_web::cookie::Cookie;
use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use contract::accounts::{Account, Role};

use crate::access::is_secure;
use crate::api::Shared;
use crate::dialect::Refused;

/// The login cookie: over TLS, and without. A browser that has one that is secure takes none
/// of its name from plain HTTP, so whoever uses both has two.
const COOKIES: [&str; 2] = ["__Host-sluice_login", "sluice_login"];

/// Parts of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Area {
    /// What belongs to the account itself: its login, its password.
    Own,
    /// Streams, their subscribers, their sessions.
    Streams,
    /// One-time codes, in an application's API: whoever reads one may publish, so reading is not looking.
    Codes,
    /// Settings of applications.
    Settings,
    /// Other accounts.
    Accounts,
    /// Who did what.
    Audit,
}

/// Whether a role may do this there.
fn permits(role: Role, method: &Method, area: Area) -> bool {
    let looks = matches!(*method, Method::GET | Method::HEAD);
    match (role, area) {
        (Role::Admin, _) | (_, Area::Own) | (Role::User, Area::Streams | Area::Codes) => true,
        (Role::User, Area::Settings) | (Role::ReadOnly, Area::Streams | Area::Settings) => looks,
        (Role::ReadOnly, Area::Codes) | (Role::User | Role::ReadOnly, Area::Accounts | Area::Audit) => false,
    }
}

/// On whose account something is done.
#[derive(Debug, Clone)]
pub(crate) struct Author {
    /// `None`: an address that may call the API.
    pub(crate) account: Option<Account>,
    /// From where.
    pub(crate) from: IpAddr,
}

impl Author {
    /// Who calls, if he is logged in.
    pub(crate) fn logged_in(shared: &Shared, req: &HttpRequest) -> Option<Self> {
        let account = account(shared, req)?;
        Some(Self { account: Some(account), from: shared.options.addresses.caller(req).ip })
    }

    /// Lets him through, or says that his role does not allow it. An address that may
    /// call an application's API may do there what an administrator may.
    pub(crate) fn enter(&self, method: &Method, area: Area) -> Result<(), Refused> {
        let allowed = self.account.as_ref().is_none_or(|account| permits(account.role, method, area));
        if allowed { Ok(()) } else { Err(Refused::Role) }
    }
}

/// What the login cookie is called where this request comes from.
pub(crate) fn cookie_name(req: &HttpRequest) -> &'static str {
    COOKIES[usize::from(!is_secure(req))]
}

/// All logins of a browser.
pub(crate) fn logins(req: &HttpRequest) -> impl Iterator<Item = String> {
    COOKIES.iter().filter_map(|name| Some(req.cookie(name)?.value().to_owned()))
}

/// The login that a request shows. A proxy that told of its TLS at the login may not do so for
/// every path, and a browser shows what it got over TLS there only, so that is looked at in
/// any case.
pub(crate) fn login(shared: &Shared, req: &HttpRequest) -> Option<String> {
    let now = shared.clock.now().mono;
    let names = if is_secure(req) { &COOKIES[..1] } else { &COOKIES[..] };
    let mut shown = names.iter().filter_map(|name| req.cookie(name));
    let holds = |cookie: &Cookie<'_>| shared.logins.account(cookie.value(), now).is_some();
    shown.find(holds).map(|cookie| cookie.value().to_owned())
}

/// Who is logged in, if anybody is.
pub(crate) fn account(shared: &Shared, req: &HttpRequest) -> Option<Account> {
    shared.logins.account(&login(shared, req)?, shared.clock.now().mono)
}

/// In an application's API, who was let in.
impl FromRequest for Author {
    type Error = Refused;
    type Future = Ready<Result<Self, Refused>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(req.extensions().get::<Self>().cloned().ok_or(Refused::NotAuthenticated))
    }
}

/// An [`Area`] as a type, for a route to name.
pub(crate) trait Ground {
    /// Which.
    const AREA: Area;
}

macro_rules! grounds {
    ($($name:ident)*) => {
        $(
            #[doc = concat!("[`Area::", stringify!($name), "`].")]
            #[derive(Debug, Clone, Copy)]
            pub(crate) struct $name;

            impl Ground for $name {
                const AREA: Area = Area::$name;
            }
        )*
    };
}

grounds!(Own Streams Settings Accounts Audit);

/// Proof that somebody is logged in who may do this.
pub(crate) struct Leave<G> {
    /// Who.
    pub(crate) account: Account,
    /// From where.
    pub(crate) from: IpAddr,
    ground: PhantomData<G>,
}

impl<G> Leave<G> {
    /// On whose account it is done.
    pub(crate) fn author(&self) -> Author {
        Author { account: Some(self.account.clone()), from: self.from }
    }
}

impl<G: Ground> FromRequest for Leave<G> {
    type Error = Refused;
    type Future = Ready<Result<Self, Refused>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(leave(req))
    }
}

fn leave<G: Ground>(req: &HttpRequest) -> Result<Leave<G>, Refused> {
    let shared = req.app_data::<Data<Shared>>().ok_or(Refused::NotAuthenticated)?;
    let author = Author::logged_in(shared, req).ok_or(Refused::NotAuthenticated)?;
    author.enter(req.method(), G::AREA)?;
    let account = author.account.ok_or(Refused::NotAuthenticated)?;
    Ok(Leave { account, from: author.from, ground: PhantomData })
}

#[cfg(test)]
mod tests {
    use super::*;

    const AREAS: [Area; 6] =
        [Area::Own, Area::Streams, Area::Codes, Area::Settings, Area::Accounts, Area::Audit];
    const METHODS: [Method; 5] = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE];

    fn allowed(role: Role, method: &Method) -> Vec<Area> {
        AREAS.into_iter().filter(|area| permits(role, method, *area)).collect()
    }

    #[test]
    fn each_role_may_do_what_its_name_says_and_no_more() {
        for method in METHODS {
            assert_eq!(allowed(Role::Admin, &method), AREAS, "{method}");
            let looks = method == Method::GET || method == Method::HEAD;
            let (user, read_only): (&[_], &[_]) = if looks {
                (
                    &[Area::Own, Area::Streams, Area::Codes, Area::Settings],
                    &[Area::Own, Area::Streams, Area::Settings],
                )
            } else {
                (&[Area::Own, Area::Streams, Area::Codes], &[Area::Own])
            };
            assert_eq!(allowed(Role::User, &method), user, "{method}");
            assert_eq!(allowed(Role::ReadOnly, &method), read_only, "{method}");
        }
    }
}
