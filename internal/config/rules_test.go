package config_test

import (
	"strings"
	"testing"
)

// TestRules gives for every rule a text that breaks it, and what is said about that. Each
// text has exactly one problem.
func TestRules(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ text, want string }{
		"no TOML":                {"[nats\n", "1:6: "},
		"key twice":              {"[nats]\nurl = 'nats://a'\nurl = 'nats://b'\n", "3:1: "},
		"table twice":            {"[nats]\n[nats]\n", "2:"},
		"unknown table":          {"[wildfier]\n", `1:2: wildfier: unknown key; did you mean "wildfire"?`},
		"unknown, nothing near":  {"zzzzzzzz = 1\n", `1:1: zzzzzzzz: unknown key`},
		"swapped letters":        {"[worker]\nrtae = 1\n", `2:1: worker.rtae: unknown key; did you mean "rate"?`},
		"unknown in a dotted":    {"nats.tls.ca = 'x'\n", `1:10: nats.tls.ca: unknown key`},
		"unknown in an inline":   {"nats = { tls = { cafile = 'x' } }\n", `1:18: nats.tls.cafile: unknown key; did you mean "ca_file"?`},
		"unknown with a dot":     {"[nats]\n'a.b' = 1\n", `2:1: nats."a.b": unknown key`},
		"table is a value":       {"nats = 3\n", "1:1: nats: expected a table, got 3"},
		"value is a table":       {"[nats.url]\n", "1:7: nats.url: expected a string, got a table"},
		"value is an array":      {"[log]\nlevel = ['info']\n", "2:1: log.level: expected a string, got an array"},
		"value is a date":        {"[verdicts]\ndeadline = 2026-01-01\n", "2:1: verdicts.deadline: expected a duration"},
		"watch is one table":     {"[watch]\n", "1:2: watch: expected an array of tables ([[watch]]), got a table"},
		"watch is a list":        {"watch = ['quarantine']\n", `1:10: watch[0]: expected a table, got "quarantine"`},
		"truth":                  {"[nats.embedded]\nenabled = 'yes'\n", `2:1: nats.embedded.enabled: expected true or false, got "yes"`},
		"fraction":               {"[worker]\nburst = 1.5\n", "2:1: worker.burst: expected a whole number, got 1.5"},
		"infinite":               {"[worker]\nrate = inf\n", `2:1: worker.rate: expected a number from 0 (no limit) to 1000000, got +Inf`},
		"not a number":           {"[worker]\nrate = nan\n", `2:1: worker.rate: expected a number from 0 (no limit) to 1000000, got NaN`},
		"negative duration":      {"[worker]\nretry_min = '-1s'\n", `2:1: worker.retry_min: expected a duration such as "1m30s" or "7d" (units d, h, m, s, ms), got "-1s"`},
		"string list":            {"[[watch]]\npath = 'q'\nexclude = '*.txt'\n", `3:1: watch[0].exclude: expected an array of strings, got "*.txt"`},
		"map of strings":         {"[worker]\nroots = ['a']\n", "2:1: worker.roots: expected a table, got an array"},
		"value in a map":         {"[worker.roots]\na = 1\n", "2:1: worker.roots.a: expected a string, got 1"},
		"profile is no table":    {"[auth]\nwildfire = 1\n", "2:1: auth.wildfire: expected a table, got 1"},
		"profiles are no tables": {"auth = 1\n", "1:1: auth: expected tables ([auth.NAME]), got 1"},

		"UTF-16":                  {"\xff\xfe[\x00l\x00", "1:1: expected UTF-8"},
		"blank at the end":        {"[nats]\ntoken_file = '/run/token '\n", `2:1: nats.token_file: the value begins or ends with white space`},
		"blank at the beginning":  {"[worker]\nretry_min = ' 1s'\n", `2:1: worker.retry_min: the value begins or ends with white space`},
		"quotes in a value":       {"[wildfire]\nagent = '\"pcc\"'\n", `2:1: wildfire.agent: the value begins and ends with quotation marks`},
		"quotes in a variable":    {"[wildfire]\nagent = '${QUOTED}'\n", `2:1: wildfire.agent: the value or a variable in it (QUOTED) begins and ends with quotation marks`},
		"line break in a secret":  {"[auth.wildfire]\nclient_secret = '${LINE}'\n", `2:1: auth.wildfire.client_secret: the value or a variable in it (LINE) begins or ends with white space`},
		"mark in a value":         {"[wildfire]\nagent = '\ufeffpcc'\n", `2:1: wildfire.agent: the value holds a byte order mark`},
		"variable unset":          {"[nats]\nprefix = '${NONE}'\n", "2:1: nats.prefix: the environment variable NONE is not set"},
		"variable without a name": {"[nats]\nprefix = '${}'\n", "2:1: nats.prefix: expected a variable such as ${NAME}"},
		"variable left open":      {"[nats]\nprefix = '${SET'\n", "2:1: nats.prefix: expected a variable such as ${NAME}"},
		"Camel's done file":       {"[[watch]]\npath = 'q'\ndone_file = '${file:name}.done'\n", "3:1: watch[0].done_file: expected a variable such as ${NAME}"},

		"policy's kind is a word":     {"[[policy]]\nkind = 'pdf'\n", `2:1: policy[0].kind: expected a glob of MIME types, such as "application/pdf" or "image/*", got "pdf"`},
		"refused kind is a word":      {"[wildfire]\nrefused_kinds = ['audio']\n", `2:1: wildfire.refused_kinds: expected globs of MIME types`},
		"API without a token":         {"[api]\nlisten = '127.0.0.1:0'\n", "2:1: api.token: expected at least one [[api.token]]"},
		"API in the clear":            {"[api]\nlisten = '0.0.0.0:80'\n[[api.token]]\nfile = 't'\n", "2:1: api.listen: expected api.web_config_file with TLS as well"},
		"sink of no kind":             {"[[sink]]\nname = 'a'\n", `1:3: sink[0].kind: expected "webhook", "file" or "syslog", got ""`},
		"sink of another kind":        {"[[sink]]\nname = 'a'\nkind = 'kafka'\n", `3:1: sink[0].kind: expected "webhook", "file" or "syslog", got "kafka"`},
		"sink without a name":         {"[[sink]]\nkind = 'file'\npath = 'p'\n", "1:3: sink[0].name: expected 1 to 32"},
		"sinks of one name":           {"[[sink]]\nname = 'a'\nkind = 'file'\npath = 'p'\n[[sink]]\nname = 'a'\nkind = 'file'\npath = 'q'\n", "6:1: sink[1].name: expected another name than that of sink[0]"},
		"sink in the clear":           {"[[sink]]\nname = 'a'\nkind = 'webhook'\nurl = 'http://siem'\nsecret_file = 's'\ndead_file = 'd'\n", "4:1: sink[0].url: expected https"},
		"sink of a strange format":    {"[[sink]]\nname = 'a'\nkind = 'file'\npath = 'p'\nformat = 'xml'\n", `5:1: sink[0].format: expected "cloudevents", "ecs", "ocsf" or "cef", got "xml"`},
		"sink of a strange outcome":   {"[[sink]]\nname = 'a'\nkind = 'file'\npath = 'p'\noutcomes = ['c2', 'malicious']\n", `5:19: sink[0].outcomes[1]: expected a verdict, such as "malware", or a reason`},
		"sink's file for everybody":   {"[[sink]]\nname = 'a'\nkind = 'file'\npath = 'p'\nmode = '0666'\n", `5:1: sink[0].mode: expected octal digits`},
		"sink's mode of no sort":      {"[[sink]]\nname = 'a'\nkind = 'file'\npath = 'p'\nmode = 'rw'\n", `5:1: sink[0].mode: expected octal digits`},
		"syslog without a port":       {"[[sink]]\nname = 'a'\nkind = 'syslog'\naddress = 'siem'\ndead_file = 'd'\n", `4:1: sink[0].address: expected host and port`},
		"syslog over HTTP":            {"[[sink]]\nname = 'a'\nkind = 'syslog'\naddress = 'siem:1'\ndead_file = 'd'\nprotocol = 'http'\n", `6:1: sink[0].protocol: expected "tls", "tcp" or "udp", got "http"`},
		"syslog with a strange part":  {"[[sink]]\nname = 'a'\nkind = 'syslog'\naddress = 'siem:1'\ndead_file = 'd'\nfacility = 'local8'\n", `6:1: sink[0].facility: expected kern, user`},
		"authorities without TLS":     {"[[sink]]\nname = 'a'\nkind = 'syslog'\naddress = 'siem:1'\ndead_file = 'd'\nprotocol = 'udp'\nca_file = 'c'\n", `6:1: sink[0].protocol: expected "tls" with ca_file or cert_file, got "udp"`},
		"certificate without a key":   {"[[sink]]\nname = 'a'\nkind = 'syslog'\naddress = 'siem:1'\ndead_file = 'd'\ncert_file = 'c'\n", `6:1: sink[0].cert_file: expected cert_file and key_file together`},
		"sink without a grave":        {"[[sink]]\nname = 'a'\nkind = 'webhook'\nurl = 'https://siem'\nsecret_file = 's'\n", "1:3: sink[0].dead_file: expected a file for events that are refused"},
		"sink of a strange type":      {"[[sink]]\nname = 'a'\nkind = 'file'\npath = 'p'\ntypes = ['verdicts']\n", `5:10: sink[0].types[0]: expected submitted, verdict, failed, changed, report, audit, got "verdicts"`},
		"sink with small files":       {"[[sink]]\nname = 'a'\nkind = 'file'\npath = 'p'\nmax_size = '1kB'\n", "5:1: sink[0].max_size: expected at least 1MB"},
		"sink is one table":           {"[sink]\n", "1:2: sink: expected an array of tables ([[sink]]), got a table"},
		"API nowhere":                 {"[api]\nlisten = '80'\nweb_config_file = 'w'\n[[api.token]]\nfile = 't'\n", "2:1: api.listen: expected an address"},
		"API for nothing":             {"[api]\nmax_file_size = '0'\n", "2:1: api.max_file_size: expected more than 0"},
		"token of no file":            {"[[api.token]]\nsource = 'a'\n", "1:7: api.token[0].file: expected a file with the token"},
		"token of a strange name":     {"[[api.token]]\nfile = 't'\nsource = 'A'\n", "3:1: api.token[0].source: expected 1 to 32"},
		"token of no lane":            {"[[api.token]]\nfile = 't'\npriority = 'high'\n", `3:1: api.token[0].priority: expected "urgent", "normal" or "bulk"`},
		"token that is always urgent": {"[[api.token]]\nfile = 't'\npriority = 'urgent'\n", `3:1: api.token[0].priority: expected "normal" or "bulk", or urgent = true`},
		"token of no rate":            {"[[api.token]]\nfile = 't'\nrate = nan\n", "3:1: api.token[0].rate: expected a number from 0"},
		"token of no burst":           {"[[api.token]]\nfile = 't'\nburst = 0\n", "3:1: api.token[0].burst: expected 1 or more"},
		"name with a port":            {"[http]\nnames = ['a.example:80']\n", `2:10: http.names[0]: expected a host such as "backburn.example.com"`},
		"name of everything":          {"[http]\nnames = ['*']\n", `2:10: http.names[0]: expected a host`},
		"base path of no sense":       {"[api]\nbase_path = 'a/'\n", `2:1: api.base_path: expected a path such as "/backburn"`},
		"base path with dots":         {"[api]\nbase_path = '/a/../b'\n", "2:1: api.base_path: expected a path"},
		"no connections":              {"[http]\nmax_connections = 0\n", "2:1: http.max_connections: expected 1 or more"},
		"no connection each":          {"[api]\nmax_connections_per_client = 0\n", "2:1: api.max_connections_per_client: expected 1 or more"},

		"collector elsewhere":    {"[tracing]\nendpoint = 'collector:4318'\n", `2:1: tracing.endpoint: expected an address such as "http://127.0.0.1:4318"`},
		"collector's password":   {"[tracing]\nendpoint = 'https://u:secret-value@a'\n", "2:1: tracing.endpoint: expected no user, password or query"},
		"collector with a query": {"[tracing]\nendpoint = 'https://a?key=secret-value'\n", "2:1: tracing.endpoint: expected no user, password or query"},
		"more than all traces":   {"[tracing]\nsample = 1.5\n", "2:1: tracing.sample: expected a number from 0 to 1, got 1.5"},
		"a sample that is none":  {"[tracing]\nsample = nan\n", "2:1: tracing.sample: expected a number from 0 to 1, got NaN"},

		"servers":                 {"[nats]\nurl = 'nats://a, http://b'\n", "2:1: nats.url: expected servers such as"},
		"no server":               {"[nats]\nurl = ''\n", "2:1: nats.url: expected servers such as"},
		"password in the address": {"[nats]\nurl = 'nats://u:secret-value@a'\n", "2:1: nats.url: expected no user or password"},
		"prefix with a dot":       {"[nats]\nprefix = 'a.b'\n", "2:1: nats.prefix: expected 1 to 32 of a-z"},
		"replicas":                {"[nats]\nreplicas = 2\n", "2:1: nats.replicas: expected 1, 3 or 5, got 2"},
		"replicas of one":         {"[nats]\nreplicas = 3\n", `2:1: nats.replicas: expected 1, because the embedded server is alone; a cluster needs nats.embedded.enabled = false, got 3`},
		"NKey and credentials":    {"[nats]\nnkey_file = 'a'\ncredentials_file = 'b'\n", `2:1: nats.nkey_file: expected either this or nats.credentials_file, got "a"`},
		"token and user":          {"[nats]\ntoken_file = 'a'\nuser = 'u'\npassword_file = 'b'\n", `2:1: nats.token_file: expected either this or nats.user, got "a"`},
		"user alone":              {"[nats]\nuser = 'u'\n", `2:1: nats.password_file: expected a file with the password of nats.user`},
		"password alone":          {"[nats]\npassword_file = 'b'\n", `2:1: nats.user: expected the user of nats.password_file`},
		"odd domain":              {"[nats]\ndomain = 'a.b'\nembedded.enabled = false\n", `2:1: nats.domain: expected 1 to 64 of A-Z, a-z, 0-9, _ and -, got "a.b"`},
		"embedded in a domain":    {"[nats]\ndomain = 'hub'\n", `2:1: nats.domain: expected none, because the embedded server has no domain`},
		"token and credentials":   {"[nats]\ntoken_file = 'a'\ncredentials_file = 'b'\n", "2:1: nats.token_file: expected either this or nats.credentials_file"},
		"certificate alone":       {"[nats.tls]\ncert_file = 'a'\n", `2:1: nats.tls.key_file: expected a file with the key of nats.tls.cert_file, got ""`},
		"key alone":               {"[nats.tls]\nkey_file = 'a'\n", `2:1: nats.tls.cert_file: expected a file with the certificate of nats.tls.key_file, got ""`},
		"no store":                {"[nats.embedded]\nstore_dir = ''\n", "2:1: nats.embedded.store_dir: expected a folder"},

		"watch without a path":     {"[[watch]]\n", "1:3: watch[0].path: expected the folder to watch"},
		"source":                   {"[[watch]]\npath = 'q'\nsource = 'Mail Gate'\n", `3:1: watch[0].source: expected 1 to 32 of a-z, 0-9, _ and -, got "Mail Gate"`},
		"source of a strange name": {"[[watch]]\npath = '/srv/…'\n", `2:1: watch[0].source: expected 1 to 32 of a-z, 0-9, _ and -, got ""`},
		"one source twice":         {"[[watch]]\npath = 'a/q'\n[[watch]]\npath = 'b/q'\n", `3:3: watch[1].source: expected another source than that of watch[0], got "q"`},
		"claim":                    {"[[watch]]\npath = 'q'\nclaim = 'copy'\n", `3:1: watch[0].claim: expected "move" or "keep", got "copy"`},
		"scan":                     {"[[watch]]\npath = 'q'\nscan = '0s'\n", `3:1: watch[0].scan: expected more than 0s, got "0s"`},
		"stale before settled":     {"[[watch]]\npath = 'q'\nstale_after = '1s'\n", `3:1: watch[0].stale_after: expected at least settle (2s), got "1s"`},
		"settled after stale":      {"[[watch]]\npath = 'q'\nsettle = '1h'\n", `3:1: watch[0].stale_after: expected at least settle (1h), got "10m"`},
		"no size":                  {"[[watch]]\npath = 'q'\nmax_file_size = '0'\n", "3:1: watch[0].max_file_size: expected more than 0"},
		"size as a number":         {"[[watch]]\npath = 'q'\nmax_file_size = 100\n", "3:1: watch[0].max_file_size: expected a size such as"},
		"none in flight":           {"[[watch]]\npath = 'q'\nmax_in_flight = 0\n", "3:1: watch[0].max_in_flight: expected more than 0, got 0"},
		"glob":                     {"[[watch]]\npath = 'q'\ndefer = [\n'[a-']\n", "4:1: watch[0].defer[0]: expected a glob"},
		"done file in a folder":    {"[[watch]]\npath = 'q'\ndone_file = 'done/{name}'\n", "3:1: watch[0].done_file: expected a name with {name}"},
		"done file is the file":    {"[[watch]]\npath = 'q'\ndone_file = '{name}'\n", "3:1: watch[0].done_file: expected a name with {name}"},
		"done file placeholder":    {"[[watch]]\npath = 'q'\ndone_file = '{nmae}.done'\n", "3:1: watch[0].done_file: expected a name with {name}"},
		"priority":                 {"[[watch]]\npath = 'q'\npriority = 'high'\n", `3:1: watch[0].priority: expected "urgent", "normal" or "bulk", got "high"`},
		"after":                    {"[[watch]]\npath = 'q'\nafter.failed = 'delte'\n", `3:7: watch[0].after.failed: expected "keep", "delete", "restore", or a folder with a slash such as "./archive", got "delte"; did you mean "delete"?`},
		"after what was kept":      {"[[watch]]\npath = 'q'\nclaim = 'keep'\nafter.benign = 'delete'\n", `4:7: watch[0].after.benign: expected "keep"`},
		"after of the second":      {"[[watch]]\npath = 'p'\n[[watch]]\npath = 'q'\n[watch.after]\nbenign = 'x'\n", `6:1: watch[1].after.benign: expected "keep"`},

		"address":               {"[wildfire]\nurl = 'wildfire.example'\n", "2:1: wildfire.url: expected an address such as"},
		"address in the clear":  {"[wildfire]\nurl = 'http://wildfire.example'\n", `2:1: wildfire.url: expected https, because credentials are sent there (http is allowed for loopback addresses only), got "http://wildfire.example"`},
		"user in the address":   {"[wildfire]\nurl = 'https://u:secret-value@wildfire.example'\n", "2:1: wildfire.url: expected no user or password"},
		"no such profile":       {"[wildfire]\nauth = 'wildfier'\n", `2:1: wildfire.auth: expected the name of an [auth.*] profile ("wildfire"), got "wildfier"; did you mean "wildfire"?`},
		"negative quota":        {"[wildfire]\nuploads_per_day = -1\n", "2:1: wildfire.uploads_per_day: expected 0 (no limit) or more, got -1"},
		"negative queries":      {"[wildfire]\nqueries_per_day = -1\n", "2:1: wildfire.queries_per_day: expected 0 (no limit) or more, got -1"},
		"everything reserved":   {"[wildfire]\nreserve_percent = 100\n", "2:1: wildfire.reserve_percent: expected 0 to 99, got 100"},
		"no concurrency":        {"[worker]\nconcurrency = 0\n", `2:1: worker.concurrency: expected 1 to 256, got 0`},
		"no burst":              {"[worker]\nburst = 0\n", "2:1: worker.burst: expected more than 0"},
		"no attempts":           {"[worker]\nmax_attempts = 0\n", "2:1: worker.max_attempts: expected more than 0"},
		"retry at once":         {"[worker]\nretry_min = '0s'\n", "2:1: worker.retry_min: expected more than 0"},
		"retry backwards":       {"[worker]\nretry_max = '10ms'\n", `2:1: worker.retry_max: expected at least worker.retry_min (1s), got "10ms"`},
		"short lease":           {"[worker]\nlease = '2s'\n", `2:1: worker.lease: expected at least 3s, got "2s"`},
		"root of no source":     {"[worker.roots]\n'A B' = '/mnt'\n", `1:9: worker.roots: expected sources as keys (1 to 32 of a-z, 0-9, _ and -)`},
		"root is empty":         {"[worker.roots]\na = ''\n", `1:9: worker.roots: expected a folder for each source`},
		"first poll":            {"[verdicts]\nfirst_poll = '0s'\n", "2:1: verdicts.first_poll: expected more than 0"},
		"polls backwards":       {"[verdicts]\nmax_poll = '1s'\n", `2:1: verdicts.max_poll: expected at least verdicts.first_poll (30s), got "1s"`},
		"deadline before polls": {"[verdicts]\ndeadline = '30s'\n", `2:1: verdicts.deadline: expected more than verdicts.first_poll (30s), got "30s"`},
		"results too short":     {"[results]\nmax_age = '1h'\n", `2:1: results.max_age: expected at least verdicts.deadline (24h), because finished jobs are remembered only as long as their events, got "1h"`},
		"small queue":           {"[queue]\njobs_max_bytes = '1MiB'\n", "2:1: queue.jobs_max_bytes: expected at least 64MiB"},
		"no results":            {"[results]\nmax_bytes = '0'\n", "2:1: results.max_bytes: expected more than 0"},
		"listen":                {"[http]\nlisten = '9464'\n", `2:1: http.listen: expected an address such as "127.0.0.1:9464", or "" for none, got "9464"`},
		"listen port":           {"[http]\nlisten = ':99999'\n", "2:1: http.listen: expected an address"},

		"secret in the file":       {"[auth.wildfire]\nclient_secret = 'secret-value'\n", `2:1: auth.wildfire.client_secret: expected a reference such as "${CLIENT_SECRET}"`},
		"secret beside a variable": {"[auth.wildfire]\nclient_secret = 'secret-value${SET}'\n", "2:1: auth.wildfire.client_secret: expected a reference"},
		"secret is a number":       {"[auth.wildfire]\nclient_secret = 4711\n", "2:1: auth.wildfire.client_secret: expected a reference"},
		"secret is unset":          {"[auth.wildfire]\nclient_secret = '${NONE}'\n", "2:1: auth.wildfire.client_secret: the environment variable NONE is not set"},
		"secret is empty":          {"[auth.wildfire]\nclient_secret = '${EMPTY}'\n", "2:1: auth.wildfire.client_secret: the environment variable EMPTY is empty"},
		"secret twice":             {"[auth.wildfire]\nclient_secret = '${SET}'\nclient_secret_file = 'f'\n", `2:1: auth.wildfire.client_secret: and client_secret_file are both set: keep one`},
		"no kind":                  {"[auth.x]\nclient_id = 'i'\n", `1:7: auth.x.kind: is required: api-key, cortex, data-security, watchguard, wildfire`},
		"unknown kind":             {"[auth.x]\nkind = 'wildfir'\n", `2:1: auth.x.kind: "wildfir" is not one of api-key, cortex, data-security, watchguard, wildfire`},
		"key of another kind":      {"[auth.x]\nkind = 'api-key'\nclient_id = 'i'\n", `3:1: auth.x.client_id: does not belong to kind "api-key", only to cortex, data-security, watchguard, wildfire`},
		"unknown key of a profile": {"[auth.wildfire]\nclientid = 'i'\n", `2:1: auth.wildfire.clientid: unknown key; did you mean "client_id"?`},
		"client auth":              {"[auth.wildfire]\nclient_auth = 'basic'\n", `2:1: auth.wildfire.client_auth: "basic" is not one of basic-raw, basic-form, body`},
		"token in the clear":       {"[auth.wildfire]\ntoken_url = 'http://sso.example/token'\n", `2:1: auth.wildfire.token_url: must be https, because credentials are sent to it (http is allowed for loopback only)`},
		"name of a profile":        {"[auth.'a b']\nkind = 'api-key'\n", `1:7: auth."a b": expected a name of letters`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := problems(t, tc.text, "SET", "value-of-a-variable", "EMPTY", "",
				"QUOTED", `"secret-value"`, "LINE", "secret-value\n")
			if !strings.HasPrefix(got, "backburn.toml:"+tc.want) || strings.Contains(got, "\n") {
				t.Errorf("got\n%s\nwant one problem that begins with\nbackburn.toml:%s", got, tc.want)
			}
			if strings.Contains(got, "secret-value") || strings.Contains(got, "value-of-a-variable") {
				t.Errorf("a secret shows: %s", got)
			}
		})
	}
}

// TestAllowed holds what looks odd and is fine.
func TestAllowed(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"byte order mark free, CRLF":  "[nats]\r\nprefix = 'a'\r\n",
		"cluster":                     "[nats]\nurl = 'nats://a:4222, tls://b:4222'\nreplicas = 3\nembedded.enabled = false\n",
		"http to this machine":        "[wildfire]\nurl = 'http://127.0.0.1:8080'\n",
		"http to this machine, IPv6":  "[wildfire]\nurl = 'http://[::1]:8080'\n",
		"every kind of outcome":       "[[sink]]\nname = 'a'\nkind = 'file'\npath = 'p'\noutcomes = ['benign', 'unrecognised', 'too_large', 'pending', 'pause']\n",
		"no limits":                   "[wildfire]\nuploads_per_day = 0\nqueries_per_day = 0\n",
		"neighbors":                   "[[watch]]\npath = 'q'\n[[watch]]\npath = 'q2'\n",
		"after restore":               "[[watch]]\npath = 'q'\nafter = { benign = 'restore', malicious = '/srv/malware' }\n",
		"done file without extension": "[[watch]]\npath = 'q'\ndone_file = '{name.noext}.ready'\n",
		"done file of a fixed name":   "[[watch]]\npath = 'q'\ndone_file = 'DONE'\n",
		"read-only folder":            "[[watch]]\npath = 'q'\nclaim = 'keep'\nstate_dir = '/var/lib/backburn'\n",
		"no limit of the rate":        "[worker]\nrate = 0\n",
		"no stall timeout":            "[wildfire]\nstall_timeout = '0s'\n",
		"a byte order mark":           "\xef\xbb\xbf[http]\nlisten = ''\n",
		"a blank in a list":           "[[watch]]\npath = 'q'\nexclude = ['a b']\n",
		"any port":                    "[http]\nlisten = '127.0.0.1:0'\n",
		"no listener":                 "[http]\nlisten = ''\n",
		"empty secret":                "[auth.wildfire]\nclient_secret = ''\n",
		"keys in any order":           "[auth.x]\napi_key_file = 'f'\nkind = 'api-key'\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parse(t, text)
		})
	}
}
