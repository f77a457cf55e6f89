//! The API's description (OpenAPI 3.1), made from the route table; schema/openapi.json is this, as text.

use utoipa::openapi::path::{Operation, Paths};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder};

use super::router;
use crate::authority::Role;

/// The description as JSON, with a line end.
pub fn text() -> String {
    let mut text = router::described().to_pretty_json().unwrap_or_else(|_| unreachable!("a description is JSON"));
    text.push('\n');
    text
}

/// The description without its routes.
pub(super) fn frame() -> OpenApi {
    let license = LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0")).build();
    let info = InfoBuilder::new()
        .title("Trueup")
        .version("1")
        .description(Some(
            "Field-level drift between Git and what runs, changed only by an explicit sync. Spoken over the daemon's Unix \
             socket, and over TCP with a bearer token. Errors are application/problem+json (RFC 9457).",
        ))
        .license(Some(license))
        .build();
    let bearer = SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build());
    let components = ComponentsBuilder::new().security_scheme("token", bearer).build();
    OpenApiBuilder::new().info(info).components(Some(components)).build()
}

/// Says in every operation's description which role it takes.
pub(super) fn say_role(paths: &mut Paths, role: Role) {
    for item in paths.paths.values_mut() {
        let all = [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch];
        for operation in all.into_iter().flatten() {
            describe(operation, role);
        }
    }
}

fn describe(operation: &mut Operation, role: Role) {
    let needs = format!("Needs the role `{}`.", role.word());
    operation.description = Some(match operation.description.take() {
        Some(before) if !before.is_empty() => format!("{before}\n\n{needs}"),
        _ => needs,
    });
}
