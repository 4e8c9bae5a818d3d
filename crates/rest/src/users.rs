//! Accounts, in AMS's words (C§2.11): list, add, change, remove, own password.

use actix_web::web::{self, Data, Path, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse};
use contract::Secret;
use contract::accounts::{AccountError, AddAccount, ChangeAccount, ChangePassword, RemoveAccount, Role};
use contract::audit::{About, Deed};

use crate::api::Shared;
use crate::body::{Body, Fields};
use crate::dialect::{self, Refused};
use crate::dto::{Answer, User};
use crate::gate::{self, Accounts, Leave, Own};
use crate::path::read;

type Answered = Result<HttpResponse, Refused>;

/// Adds the routes.
pub(crate) fn routes(cfg: &mut ServiceConfig) {
    cfg.service(web::resource("/user-list").route(read().to(list)))
        .service(web::resource("/users").route(web::post().to(add)).route(web::put().to(change)))
        .service(web::resource("/users/password").route(web::post().to(change_password)))
        .service(web::resource("/users/{email}").route(web::delete().to(remove)));
}

async fn list(shared: Data<Shared>, _leave: Leave<Accounts>) -> Answered {
    let accounts = shared.accounts.all();
    Ok(dialect::ok(&accounts.iter().map(|(email, view)| User::new(email, view)).collect::<Vec<_>>()))
}

async fn add(shared: Data<Shared>, leave: Leave<Accounts>, body: Body) -> Answered {
    let fields = body.or_empty();
    let role = role(&fields)?.unwrap_or(Role::ReadOnly);
    let ask = AddAccount {
        email: fields.short_text("email")?.unwrap_or_default(),
        password: Secret::new(fields.short_text("password")?.unwrap_or_default()),
        first_name: fields.short_text("firstName")?.unwrap_or_default(),
        last_name: fields.short_text("lastName")?.unwrap_or_default(),
        role,
    };
    let detail = format!("{} as {}", ask.email, dialect::user_type(role));
    shared.ask(&shared.links.add_account, ask).await?.map_err(|why| refused(why, "password"))?;
    shared.note(&leave.author(), Deed::AddAccount, About::default(), detail).await;
    Ok(dialect::ok(&Answer::silent_yes()))
}

async fn change(shared: Data<Shared>, leave: Leave<Accounts>, req: HttpRequest, body: Body) -> Answered {
    let fields = body.or_empty();
    let ask = ChangeAccount {
        email: fields.short_text("email")?.unwrap_or_default(),
        first_name: fields.short_text("firstName")?,
        last_name: fields.short_text("lastName")?,
        role: role(&fields)?,
        password: fields.short_text("newPassword")?.map(Secret::new),
    };
    let detail = changes(&ask);
    // Which login it is must be seen before it is one of an older password.
    let own = ask.password.is_some() && ask.email == leave.account.email;
    let login = gate::login(&shared, &req).filter(|_| own);
    let changed = shared.ask(&shared.links.change_account, ask).await?;
    let revision = changed.map_err(|why| refused(why, "newPassword"))?;
    if let Some(login) = login {
        shared.logins.renew(&login, revision);
    }
    shared.note(&leave.author(), Deed::ChangeAccount, About::default(), detail).await;
    Ok(dialect::ok(&Answer::silent_yes()))
}

/// What is changed, without what a password is changed to.
fn changes(ask: &ChangeAccount) -> String {
    let mut text = ask.email.clone();
    if let Some(role) = ask.role {
        text.extend([" is ", dialect::user_type(role)]);
    }
    if ask.password.is_some() {
        text.push_str(", new password");
    }
    text
}

async fn remove(shared: Data<Shared>, leave: Leave<Accounts>, path: Path<String>) -> Answered {
    let email = path.into_inner();
    let ask = RemoveAccount { email: email.clone() };
    shared.ask(&shared.links.remove_account, ask).await?.map_err(|why| refused(why, "password"))?;
    shared.note(&leave.author(), Deed::RemoveAccount, About::default(), email).await;
    Ok(dialect::ok(&Answer::silent_yes()))
}

async fn change_password(shared: Data<Shared>, leave: Leave<Own>, req: HttpRequest, body: Body) -> Answered {
    let fields = body.or_empty();
    let ask = ChangePassword {
        email: leave.account.email.clone(),
        password: Secret::new(fields.short_text("password")?.unwrap_or_default()),
        new: Secret::new(fields.short_text("newPassword")?.unwrap_or_default()),
        peer: leave.from,
    };
    let login = gate::login(&shared, &req);
    let changed = shared.ask(&shared.links.change_password, ask).await?;
    let revision = changed.map_err(|why| refused(why, "newPassword"))?;
    if let Some(login) = login {
        shared.logins.renew(&login, revision);
    }
    shared.note(&leave.author(), Deed::ChangePassword, About::default(), String::new()).await;
    Ok(dialect::ok(&Answer::silent_yes()))
}

const fn refused(why: AccountError, password: &'static str) -> Refused {
    Refused::Account { why, password }
}

/// The role that a body names. Roles count in all applications; one that should
/// count in one only is refused, since it would count in all.
fn role(fields: &Fields) -> Result<Option<Role>, Refused> {
    if fields.text("scope")?.is_some_and(|scope| !scope.is_empty() && scope != "system") {
        return Err(Refused::Field { name: "scope", expected: "system: a role counts in all applications" });
    }
    let Some(word) = fields.text("userType")? else { return Ok(None) };
    let role = [Role::Admin, Role::User, Role::ReadOnly].into_iter().find(|r| dialect::user_type(*r) == word);
    let expected = "ADMIN, USER or READ_ONLY";
    role.map(Some).ok_or(Refused::Field { name: "userType", expected })
}
