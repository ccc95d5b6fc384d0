// Package conformance checks the Helm chart as a cluster would: it is linted, rendered with
// several values, and what comes out is held against the API's types and the Pod Security Standard
// "restricted".
package conformance

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/invopop/jsonschema"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/yannh/kubeconform/pkg/validator"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/engine"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	disruption "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	security "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"

	"backburn/internal/config"
)

const release = "fleet"

// cases are values of users.
var cases = map[string]string{
	"the defaults": ``,
	"everything": `
image: {digest: "sha256:0000000000000000000000000000000000000000000000000000000000000000"}
imagePullSecrets: [{name: registry}]
nats: {enabled: true, user: backburn, secret: backburn-nats}
wildfire: {clientID: "name@1.iam.panserviceaccount.com", tsgID: "1"}
worker:
  autoscaling: {enabled: true}
  nodeSelector: {disk: ssd}
  tolerations: [{key: dedicated, operator: Equal, value: backburn, effect: NoSchedule}]
  affinity: {nodeAffinity: {}}
api:
  enabled: true
  tokens: [{source: mail, key: mail}, {source: proxy, key: proxy}]
  names: [backburn.example.com]
podMonitor: {enabled: true, labels: {release: prometheus}}
networkPolicy:
  apiFrom: [{podSelector: {}}]
  natsTo: [{podSelector: {matchLabels: {app.kubernetes.io/name: nats}}}]
  webTo: [{ipBlock: {cidr: 192.0.2.1/32}}]
config: |
  [worker]
  rate = 1
`,
	"bare": `
nats: {url: "tls://a.example.com:4222,tls://b.example.com:4222", replicas: 1}
podDisruptionBudget: {enabled: false}
networkPolicy: {enabled: false}
`,
}

// The chart is clean for helm lint; what it renders are objects that a cluster takes, pods that
// fit into a restricted namespace, and a configuration that Backburn takes.
func TestChart(t *testing.T) {
	t.Parallel()
	for name, values := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			objects, faults := look(t, chart(t, nil), values)
			for _, fault := range faults {
				t.Error(fault)
			}

			kinds := map[string]int{}
			for _, o := range objects {
				kinds[o.kind]++
			}
			want := map[string]map[string]int{
				"the defaults": {"ConfigMap": 1, "Deployment": 1, "NetworkPolicy": 1, "PodDisruptionBudget": 1},
				"everything": {
					"ConfigMap": 2, "Deployment": 2, "Service": 1, "HorizontalPodAutoscaler": 1, "NetworkPolicy": 1,
					"PodDisruptionBudget": 1, "PodMonitor": 1,
				},
				"bare": {"ConfigMap": 1, "Deployment": 1},
			}[name]
			if !reflect.DeepEqual(kinds, want) {
				t.Errorf("objects: %v, want %v", kinds, want)
			}
		})
	}
}

// What is wrong with a chart is found.
func TestFaultsAreFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ file, old, new, finds string }{
		"lint":         {"Chart.yaml", "version: 0.2.0", "version: next", "version"},
		"no field":     {"templates/worker.yaml", "strategy:", "stratagem:", "stratagem"},
		"a wrong type": {"templates/pdb.yaml", "maxUnavailable:", "maxUnavailable: [1] #", "maxUnavailable"},
		"privileges":   {"templates/_helpers.tpl", "runAsNonRoot: true", "runAsNonRoot: false", "restricted"},
		"capabilities": {"templates/_helpers.tpl", "capabilities: {drop: [ALL]}", "capabilities: {add: [NET_ADMIN]}", "restricted"},
		"TOML":         {"templates/config.yaml", "[nats.embedded]", "[nats.embeded]", "embeded"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := chart(t, func(file, text string) string {
				if file != c.file {
					return text
				}
				if !strings.Contains(text, c.old) {
					t.Fatalf("%s has no %q", file, c.old)
				}

				return strings.Replace(text, c.old, c.new, 1)
			})
			_, faults := look(t, dir, "")
			if !strings.Contains(strings.Join(faults, "\n"), c.finds) {
				t.Errorf("nothing about %q in:\n%s", c.finds, strings.Join(faults, "\n"))
			}
		})
	}
}

// Values that cannot work are refused.
func TestValuesAreChecked(t *testing.T) {
	t.Parallel()
	for _, values := range []string{
		`nats: {url: "http://nats"}`,
		`nats: {replicas: 2}`,
		`wildfire: {secret: ""}`,
		`api: {tokens: [{source: "Mail!", key: mail}]}`,
	} {
		if _, faults := look(t, chart(t, nil), values); len(faults) == 0 {
			t.Errorf("%s was taken", values)
		}
	}
}

// The URL of NATS is that of an installed one, of a given one, or of the usual place.
func TestWhereNATSIs(t *testing.T) {
	t.Parallel()
	for values, want := range map[string]string{
		``:                         "nats://nats:4222",
		`nats: {enabled: true}`:    "nats://" + release + "-nats:4222",
		`nats: {url: "tls://n:1"}`: "tls://n:1",
	} {
		objects, _ := look(t, chart(t, nil), values)
		if !slices.ContainsFunc(objects, func(o object) bool { return strings.Contains(o.text, `url = "`+want+`"`) }) {
			t.Errorf("%q: no object has the URL %s", values, want)
		}
	}
}

// chart copies the chart, with changes of its files, and a chart that stands for the one of NATS,
// which is fetched by those who install it.
func chart(t *testing.T, change func(file, text string) string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "backburn")
	from := filepath.Join("..", "backburn")
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	for file, text := range map[string]string{
		"charts/nats/Chart.yaml":            "apiVersion: v2\nname: nats\nversion: 2.12.0\n",
		"charts/nats/values.yaml":           "config: {}\n",
		"charts/nats/templates/config.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-nats\n",
	} {
		name := filepath.Join(dir, file)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if change == nil {
		return dir
	}

	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		file, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}

		return os.WriteFile(name, []byte(change(filepath.ToSlash(file), string(text))), 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}

	return dir
}

// object is one that a cluster would be given.
type object struct{ kind, text string }

// look lints and renders a chart, and says what is wrong with it.
func look(t *testing.T, dir, values string) (objects []object, faults []string) {
	t.Helper()
	given := map[string]any{}
	if err := yaml.Unmarshal([]byte(values), &given); err != nil {
		t.Fatal(err)
	}
	for _, m := range lint.RunAll(dir, given, "default").Messages {
		if m.Severity >= support.WarningSev {
			faults = append(faults, "helm lint: "+m.Error())
		}
	}

	rendered, err := render(dir, given)
	if err != nil {
		return nil, append(faults, "helm template: "+err.Error())
	}
	conform, err := validator.New([]string{schemas(t)}, validator.Opts{Strict: true, KubernetesVersion: "1.37.0"})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range rendered {
		if !strings.HasSuffix(name, ".yaml") || strings.TrimSpace(text) == "" {
			continue
		}
		for _, r := range conform.Validate(name, io.NopCloser(strings.NewReader(text))) {
			switch r.Status {
			case validator.Valid:
				o := object{text: string(r.Resource.Bytes)}
				sig, err := r.Resource.Signature()
				if err != nil {
					t.Fatal(err)
				}
				o.kind = sig.Kind
				objects = append(objects, o)
				faults = append(faults, inspect(o)...)
			case validator.Empty:
			default:
				faults = append(faults, fmt.Sprintf("kubeconform: %s: %v", name, r.Err))
			}
		}
	}

	return objects, faults
}

// render is helm template.
func render(dir string, values map[string]any) (map[string]string, error) {
	c, err := loader.LoadDir(dir)
	if err != nil {
		return nil, err
	}
	if err := chartutil.ProcessDependencies(c, values); err != nil {
		return nil, err
	}
	all, err := util.ToRenderValues(c, values, common.ReleaseOptions{Name: release, Namespace: "default", IsInstall: true}, nil)
	if err != nil {
		return nil, err
	}

	return engine.Render(c, all)
}

// inspect says what is wrong with an object beyond its shape.
func inspect(o object) (faults []string) {
	switch o.kind {
	case "Deployment":
		var d apps.Deployment
		if err := yaml.UnmarshalStrict([]byte(o.text), &d); err != nil {
			return []string{err.Error()}
		}
		evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
		if err != nil {
			return []string{err.Error()}
		}
		level := security.LevelVersion{Level: security.LevelRestricted, Version: security.LatestVersion()}
		if r := policy.AggregateCheckResults(evaluator.EvaluatePod(level, &d.Spec.Template.ObjectMeta, &d.Spec.Template.Spec)); !r.Allowed {
			faults = append(faults, d.Name+": not restricted: "+r.ForbiddenDetail())
		}

	case "ConfigMap":
		var m core.ConfigMap
		if err := yaml.UnmarshalStrict([]byte(o.text), &m); err != nil {
			return []string{err.Error()}
		}
		text, ok := m.Data["backburn.toml"]
		if !ok {
			return nil
		}
		cfg, err := config.Decode([]byte(text), "backburn.toml", func(string) (string, bool) { return "", false })
		if err == nil {
			err = cfg.Validate(0)
		}
		if err != nil {
			faults = append(faults, "backburn config check: "+err.Error())
		}
	}

	return faults
}

// schemas writes a schema for every kind that the chart has, made from the types of the API, and
// returns where kubeconform finds them.
func schemas(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	reflector := jsonschema.Reflector{
		DoNotReference: false,
		Mapper: func(t reflect.Type) *jsonschema.Schema {
			switch t {
			case reflect.TypeFor[resource.Quantity](), reflect.TypeFor[intstr.IntOrString]():
				return &jsonschema.Schema{OneOf: []*jsonschema.Schema{{Type: "string"}, {Type: "integer"}}}
			case reflect.TypeFor[meta.Time](), reflect.TypeFor[meta.MicroTime]():
				return &jsonschema.Schema{Type: "string", Format: "date-time"}
			case reflect.TypeFor[meta.FieldsV1]():
				return &jsonschema.Schema{Type: "object"}
			}
			return nil
		},
	}
	for kind, typ := range map[string]any{
		"deployment-apps-v1":                     apps.Deployment{},
		"service-v1":                             core.Service{},
		"configmap-v1":                           core.ConfigMap{},
		"horizontalpodautoscaler-autoscaling-v2": autoscaling.HorizontalPodAutoscaler{},
		"networkpolicy-networking-v1":            networking.NetworkPolicy{},
		"poddisruptionbudget-policy-v1":          disruption.PodDisruptionBudget{},
		"podmonitor-monitoring-v1":               monitoring.PodMonitor{},
	} {
		b, err := json.Marshal(reflector.Reflect(typ))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, kind+".json"), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}

	return dir + "/{{ .ResourceKind }}{{ .KindSuffix }}.json"
}
