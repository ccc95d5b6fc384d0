package jets

// How clients of NATS store buckets (ADR-8 and ADR-20 of nats-io/nats-architecture-and-design).
const (
	KeyStream    = "KV_"  // and a key-value bucket: the stream behind it
	KeySubject   = "$KV." // and the bucket, a dot, and a key
	ObjectStream = "OBJ_" // and an object bucket: the stream behind it
)

// ObjectChunks is the subject of an object's contents; ">" for those of all.
func ObjectChunks(bucket, nuid string) string { return "$O." + bucket + ".C." + nuid }

// ObjectMeta is the subject of what is known about an object, by the encoded name; ">" for those of
// all.
func ObjectMeta(bucket, name string) string { return "$O." + bucket + ".M." + name }
