//! Says what is served, to gRPC's own tools: `grpc.reflection.v1`, when it is switched on.
//!
//! It answers from constant data. Only what the services here can be called with is told; another
//! function's contract is not.

use std::sync::Arc;

use fault::Reason;
use futures_util::stream::{BoxStream, StreamExt};
use proto::{
    Bounded,
    descriptors::{self, File},
    grpc::reflection::v1::{
        ErrorResponse, ExtensionNumberResponse, ExtensionRequest, FileDescriptorResponse,
        ListServiceResponse, ServerReflectionRequest, ServerReflectionResponse, ServiceResponse,
        server_reflection_request::MessageRequest as Question,
        server_reflection_response::MessageResponse as Answer,
        server_reflection_server::{ServerReflection, ServerReflectionServer},
    },
};
use tonic::{Code, Request, Response, Status, Streaming, async_trait};

/// No name is longer; a question is repeated in its answer.
const QUESTION_BYTES_MAX: usize = 4096;

/// What is served.
#[derive(Clone, Debug)]
pub(crate) struct Reflection {
    services: Arc<[&'static str]>,
    files: Arc<[&'static File]>,
}

impl Reflection {
    /// The gRPC service that tells it.
    pub(crate) const SERVICE: &str = "grpc.reflection.v1.ServerReflection";

    /// Tells of `services`, which include this one.
    pub(crate) fn new(services: impl IntoIterator<Item = &'static str>) -> Self {
        let services: Arc<[_]> = services.into_iter().collect();
        let mut files = Vec::<&File>::new();
        let mut found: Vec<_> =
            services.iter().filter_map(|service| descriptors::defining(service)).collect();
        while let Some(file) = found.pop() {
            if files.iter().all(|known| known.name != file.name) {
                files.push(file);
                found.extend(file.imports.iter().filter_map(|import| descriptors::file(import)));
            }
        }
        Self { services, files: files.into() }
    }

    /// The same as a service.
    pub(crate) fn server(self) -> ServerReflectionServer<Self> {
        ServerReflectionServer::new(self).bounded(QUESTION_BYTES_MAX)
    }

    fn answer(&self, request: ServerReflectionRequest) -> Result<ServerReflectionResponse, Status> {
        let question = request.message_request.as_ref().ok_or(Reason::InvalidArgument)?;
        let answer = match question {
            Question::FileByFilename(name) => self.file(descriptors::file(name)),
            Question::FileContainingSymbol(name) => self.file(descriptors::defining(name)),
            Question::FileContainingExtension(of) => self.extension(of),
            Question::AllExtensionNumbersOfType(message) => self.extensions(message),
            Question::ListServices(_) => Some(self.list()),
        };
        let not_found = || {
            let error_message = "nothing of that name is served".to_owned();
            Answer::ErrorResponse(ErrorResponse {
                error_code: Code::NotFound.into(),
                error_message,
            })
        };
        Ok(ServerReflectionResponse {
            valid_host: request.host.clone(),
            message_response: Some(answer.unwrap_or_else(not_found)),
            original_request: Some(request),
        })
    }

    fn is_told(&self, file: &File) -> bool {
        self.files.iter().any(|known| known.name == file.name)
    }

    fn file(&self, file: Option<&'static File>) -> Option<Answer> {
        let file = file.filter(|file| self.is_told(file))?;
        let file_descriptor_proto = vec![file.bytes.into()];
        Some(Answer::FileDescriptorResponse(FileDescriptorResponse { file_descriptor_proto }))
    }

    fn extension(&self, of: &ExtensionRequest) -> Option<Answer> {
        let number = u32::try_from(of.extension_number).ok()?;
        self.file(descriptors::extending(&of.containing_type, number))
    }

    fn extensions(&self, message: &str) -> Option<Answer> {
        descriptors::defining(message).filter(|file| self.is_told(file))?;
        let told = descriptors::extensions(message).filter(|(_number, file)| self.is_told(file));
        let extension_number = told.filter_map(|(number, _file)| number.try_into().ok()).collect();
        let base_type_name = message.to_owned();
        let numbers = ExtensionNumberResponse { base_type_name, extension_number };
        Some(Answer::AllExtensionNumbersResponse(numbers))
    }

    fn list(&self) -> Answer {
        let names = self.services.iter().map(|name| ServiceResponse { name: (*name).to_owned() });
        Answer::ListServicesResponse(ListServiceResponse { service: names.collect() })
    }
}

#[async_trait]
impl ServerReflection for Reflection {
    type ServerReflectionInfoStream = BoxStream<'static, Result<ServerReflectionResponse, Status>>;

    async fn server_reflection_info(
        &self,
        request: Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let this = self.clone();
        let answers = request.into_inner().map(move |request| this.answer(request?));
        Ok(Response::new(answers.boxed()))
    }
}
