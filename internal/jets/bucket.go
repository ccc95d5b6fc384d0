package jets

import "github.com/nats-io/nats.go/jetstream"

// How clients of NATS store buckets (ADR-8 and ADR-20 of nats-io/nats-architecture-and-design).
const (
	KeyStream    = "KV_"  // followed by the name of a key-value bucket: its stream
	KeySubject   = "$KV." // followed by a bucket, a dot and a key: the subject of the key
	ObjectStream = "OBJ_" // followed by the name of an object bucket: its stream
)

// ObjectChunks returns the subject of an object's contents. The nuid ">" stands for all objects.
func ObjectChunks(bucket, nuid string) string { return "$O." + bucket + ".C." + nuid }

// ObjectMeta returns the subject of an object's metadata, by its encoded name. The name ">" stands
// for all objects.
func ObjectMeta(bucket, name string) string { return "$O." + bucket + ".M." + name }

// KeyWrite returns the subject on which a client writes a key. In a domain it begins with the
// prefix of requests: a leaf node does not pass KeySubject on to its hub.
func KeyWrite(o jetstream.JetStreamOptions, bucket, key string) string {
	subject := KeySubject + bucket + "." + key
	if prefix := APIPrefix(o); prefix != jetstream.DefaultAPIPrefix {
		return prefix + subject
	}
	return subject
}
