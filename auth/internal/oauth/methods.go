package oauth

// The ways in which a client authenticates itself at a token endpoint. RFC 6749 section 2.3.1
// form-encodes the id and secret of Basic authentication; many servers do not decode them, so both
// encodings are available and none is guessed.
const (
	AuthBasicRaw  = "basic-raw"  // base64(id:secret)
	AuthBasicForm = "basic-form" // base64(form-encoded id:form-encoded secret), RFC 6749
	AuthBody      = "body"       // client_id and client_secret in the body
)

// How the body of a request is encoded.
const (
	BodyForm = "form" // application/x-www-form-urlencoded, RFC 6749
	BodyJSON = "json" // application/json, what the vendor's own Cortex SDKs send
)
