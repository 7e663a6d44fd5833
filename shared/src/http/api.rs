//! The public API of a service: its operations, their description, Swagger UI, the pages of its
//! problems and its index.

use axum::Router;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::SwaggerUi;

use super::{
    description::operations,
    index::{IndexLink, ServerIndex},
    pages::{ProblemPage, problem_pages},
};

/// What a public API shows of itself.
#[derive(Clone)]
pub struct ApiPages {
    /// Its description, as [`describe`](super::describe) completes it.
    pub document: OpenApi,
    /// The pages of the problems that only this service has.
    pub problems: &'static [ProblemPage],
}

/// The operations of an API with everything that explains them.
pub fn api_routes(operations: Router, pages: ApiPages) -> Router {
    let ApiPages { document, problems } = pages;
    let index = index_of(&document);
    operations
        .merge(SwaggerUi::new("/swagger-ui").url("/openapi.json", document))
        .merge(problem_pages(problems))
        .merge(index.routes())
}

fn index_of(document: &OpenApi) -> ServerIndex {
    let mut links = vec![
        IndexLink::page("/swagger-ui/", "The API in a browser, to read and to try"),
        IndexLink::page("/openapi.json", "Its description (OpenAPI)"),
        IndexLink::page("/problems", "What each refusal means, and what to do"),
    ];
    links.extend(document.paths.paths.iter().flat_map(|(path, item)| {
        let link = |(method, operation): (&str, &utoipa::openapi::path::Operation)| {
            let about = operation.summary.as_deref().unwrap_or_default();
            IndexLink::of(method, path, about.trim_end_matches('.'))
        };
        operations(item).map(link).collect::<Vec<_>>()
    }));
    let info = &document.info;
    ServerIndex {
        name: info.title.clone(),
        version: info.version.clone(),
        about: info.description.clone().unwrap_or_default(),
        links,
    }
}
