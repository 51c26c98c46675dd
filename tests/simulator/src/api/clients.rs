//! `PersonalClientService` and its search.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{authenticate, authorize};
use crate::{
    app::App,
    exchange::Call,
    switches::{ListPaging, NonAdminSearch},
    tenant::{Cidr, Client, ClientEdit, ClientWish, Permission, Refusal, Tenant},
    wire::{
        Answer, duration,
        message::{
            self, ClientInput, ClientResponse, CreateRequest, CreateResponse, Empty, ListResponse, PersonalClient,
            SearchRequest, UpdateRequest,
        },
        paging::{self, Page},
        update_mask::{self, Field},
    },
};

type Reply = Result<Answer, Refusal>;

pub(super) fn create(app: &App, call: &Call) -> Reply {
    let mut tenant = app.tenant();
    let caller = authorize(&tenant, call, Permission::CreateClient)?;
    let request: CreateRequest = message::read(&call.body)?;
    let (position, secret) = tenant.create_client(&caller.user_id, wish(request)?)?;
    app.secrets().note(&secret);
    let client = PersonalClient::seen_at(tenant.client_at(position), Timestamp::MAX);
    Ok(Answer::ok(&CreateResponse { client, client_secret: &secret }))
}

pub(super) fn list(app: &App, call: &Call) -> Reply {
    let tenant = app.tenant();
    let caller = authorize(&tenant, call, Permission::ListClients)?;
    let own = shown(&tenant, call).filter(|(_, client)| client.user_id == caller.user_id);
    let (rows, next_page_token) = match tenant.switches().list_paging {
        ListPaging::Ignore => (own.map(|(_, client)| client).collect(), String::new()),
        ListPaging::Gap => {
            let rows = own.map(|(_, client)| client).take(paging::DEFAULT_SIZE).collect();
            (rows, paging::token(paging::DEFAULT_SIZE))
        }
        ListPaging::Page => page(call)?.of(own),
    };
    Ok(page_of(&tenant, call, rows, next_page_token))
}

pub(super) fn search(app: &App, call: &Call) -> Reply {
    let tenant = app.tenant();
    let caller = authenticate(&tenant, call)?;
    let own_only = !caller.rights().allow(Permission::SearchClients);
    let needed = match tenant.switches().search_by_non_admin {
        NonAdminSearch::Forbidden => Permission::SearchClients,
        NonAdminSearch::Own => Permission::ListClients,
    };
    caller.require(needed)?;
    let request: SearchRequest = message::read(&call.body)?;
    let page = Page::new(request.page_size.unwrap_or(0), &request.page_token.unwrap_or_default())?;
    let query = request.query.unwrap_or_default().to_lowercase();
    let users = request.users.unwrap_or_default();
    let wanted = |client: &Client| {
        client.display_name.to_lowercase().contains(&query)
            && (users.is_empty() || users.iter().any(|user| user.id == client.user_id))
            && (!own_only || client.user_id == caller.user_id)
    };
    let (rows, next_page_token) = page.of(shown(&tenant, call).filter(|(_, client)| wanted(client)));
    Ok(page_of(&tenant, call, rows, next_page_token))
}

pub(super) fn get(app: &App, call: &Call, id: &str) -> Reply {
    let tenant = app.tenant();
    let caller = authorize(&tenant, call, Permission::GetClient)?;
    Ok(one(&tenant, call, tenant.get_client(&caller.user_id, id)?))
}

pub(super) fn update(app: &App, call: &Call, id: &str) -> Reply {
    let mut tenant = app.tenant();
    let caller = authorize(&tenant, call, Permission::UpdateClient)?;
    let request: UpdateRequest = message::read(&call.body)?;
    let position = tenant.own_position(&caller.user_id, id)?;
    tenant.update_client(position, edits(request)?)?;
    Ok(one(&tenant, call, tenant.client_at(position)))
}

pub(super) fn delete(app: &App, call: &Call, id: &str) -> Reply {
    let mut tenant = app.tenant();
    let caller = authorize(&tenant, call, Permission::DeleteClient)?;
    let Empty {} = message::read(&call.body)?;
    let position = tenant.own_position(&caller.user_id, id)?;
    tenant.delete_client(position);
    Ok(Answer::ok(&Empty {}))
}

/// What a create asks for, read and checked as far as that is possible without the tenant.
pub fn wish(request: CreateRequest) -> Result<ClientWish, Refusal> {
    let lifetime = |text: String| {
        let refusal =
            || Refusal::invalid(format!("failed to unmarshal body: invalid google.protobuf.Duration {text:?}"));
        duration::parse(&text).ok_or_else(refusal)
    };
    Ok(ClientWish {
        display_name: request.display_name.unwrap_or_default(),
        lifetime: request.expires.map(lifetime).transpose()?,
        scoped_roles: request.scoped_roles.unwrap_or_default(),
        allow_source_cidr: Cidr::list(request.allow_source_cidr.unwrap_or_default())?,
    })
}

/// The fields that the mask names, replaced by what the request holds: an absent list clears the list.
fn edits(request: UpdateRequest) -> Result<Vec<ClientEdit>, Refusal> {
    let mask = update_mask::parse(request.update_mask.as_deref())?;
    let client: ClientInput = request.client.ok_or_else(|| Refusal::invalid("client is missing"))?;
    let edit = |field| {
        Ok(match field {
            Field::DisplayName => ClientEdit::DisplayName(client.display_name.clone().unwrap_or_default()),
            Field::ScopedRoles => ClientEdit::ScopedRoles(client.scoped_roles.clone().unwrap_or_default()),
            Field::AllowSourceCidr => {
                ClientEdit::AllowSourceCidr(Cidr::list(client.allow_source_cidr.clone().unwrap_or_default())?)
            }
            Field::ExpiresTime => ClientEdit::ExpiresTime(client.expires_time),
        })
    };
    mask.into_iter().map(edit).collect()
}

/// The clients that a list may show: deleted ones are gone from it, new ones may be late.
fn shown<'a>(tenant: &'a Tenant, call: &Call) -> impl Iterator<Item = (usize, &'a Client)> {
    let youngest = earlier(Timestamp::now(), call.lag.list);
    tenant.clients().filter(move |(_, client)| client.deleted_at.is_none() && client.born <= youngest)
}

pub(super) fn page(call: &Call) -> Result<Page, Refusal> {
    let size = match call.parameter("page_size") {
        Some(size) => size.parse().map_err(|_| Refusal::invalid("page_size is no number"))?,
        None => 0,
    };
    Page::new(size, &call.parameter("page_token").unwrap_or_default())
}

fn one(tenant: &Tenant, call: &Call, client: &Client) -> Answer {
    Answer::ok(&ClientResponse { client: PersonalClient::seen_at(client, horizon(tenant, call)) })
}

fn page_of(tenant: &Tenant, call: &Call, rows: Vec<&Client>, next_page_token: String) -> Answer {
    let horizon = horizon(tenant, call);
    let list = rows.into_iter().map(|client| PersonalClient::seen_at(client, horizon)).collect();
    Answer::ok(&ListResponse { list, next_page_token })
}

/// The time up to which uses are known. Without a lag, and whatever was done to the clock: all of them.
fn horizon(tenant: &Tenant, call: &Call) -> Timestamp {
    let lag = call.lag.last_used;
    if lag.is_zero() { Timestamp::MAX } else { earlier(tenant.now(), lag) }
}

fn earlier(time: Timestamp, by: Duration) -> Timestamp {
    let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
    time.checked_sub(by).unwrap_or(Timestamp::MIN)
}
