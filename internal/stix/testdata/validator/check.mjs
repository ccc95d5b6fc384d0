// Validates STIX bundles: each object by the types of @security-alliance/stix, as the TypeScript
// compiler reads them, and the identifiers of observables by that library's own making. It reads
// an object of bundles by name from standard input, and writes one with what is wrong with each.
import { readFileSync, writeFileSync } from "node:fs";
import ts from "typescript";
import * as stix from "@security-alliance/stix/2.1";

// The library knows these whole. Of the others it knows what is common to all objects.
const whole = { indicator: "Indicator", identity: "Identity", "domain-name": "DomainName", url: "Url", "ipv4-addr": "IPv4Addr", "ipv6-addr": "IPv6Addr" };
const common = { file: "File", malware: "Malware", "malware-analysis": "MalwareAnalysis", relationship: "Relationship" };
const identifiers = {
  "domain-name": stix.generateDomainNameId,
  url: stix.generateUrlId,
  "ipv4-addr": stix.generateIPv4AddrId,
  "ipv6-addr": stix.generateIPv6AddrId,
  file: ({ hashes, name }) => {
    const algorithm = ["MD5", "SHA-1", "SHA-256"].find((a) => hashes[a]);
    return stix.generateDeterministicId("file", { hashes: { [algorithm]: hashes[algorithm] }, ...(name && { name }) });
  },
};
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[45][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

const bundles = JSON.parse(readFileSync(0, "utf8"));
const problems = Object.fromEntries(Object.keys(bundles).map((name) => [name, []]));

for (const [name, bundle] of Object.entries(bundles)) {
  const ids = new Set(bundle.objects.map((o) => o.id));
  const problem = (o, what) => problems[name].push(`${o.id}: ${what}`);
  if (ids.size !== bundle.objects.length) problem(bundle, "an identifier comes twice");
  for (const o of [bundle, ...bundle.objects]) {
    if (!uuid.test(o.id.slice(o.type.length + 2))) problem(o, "no UUID");
    const want = identifiers[o.type]?.(o);
    if (want && want !== o.id) problem(o, `want ${want}`);
    for (const [key, value] of Object.entries(o)) {
      const refs = key.endsWith("_refs") ? value : key.endsWith("_ref") ? [value] : [];
      if (new Set(refs).size !== refs.length) problem(o, `${key} holds a reference twice`);
      for (const ref of refs) if (!ids.has(ref)) problem(o, `${key} ${ref} is not in the bundle`);
    }
  }
}

// A string has its own text as its type, so that identifiers and words are looked at.
const typed = (v) =>
  typeof v === "string" ? `${JSON.stringify(v)} as const`
  : Array.isArray(v) ? `[${v.map(typed).join(", ")}]`
  : v && typeof v === "object" ? `{${Object.entries(v).map(([k, x]) => `${JSON.stringify(k)}: ${typed(x)}`).join(", ")}}`
  : JSON.stringify(v);
const written = (bundle) => [
  'import type * as stix from "@security-alliance/stix/2.1";',
  `const bundle: stix.StixBundle = ${typed({ ...bundle, objects: [] })};`,
  ...bundle.objects.map((o, i) =>
    whole[o.type] ? `const whole${i}: stix.${whole[o.type]} = ${typed(o)};`
    : `const given${i} = ${typed(o)}; const common${i}: stix.${common[o.type]} = given${i};`),
];
const files = Object.entries(bundles).map(([name, bundle], i) => ({ name, file: `bundle${i}.ts`, lines: written(bundle) }));
for (const { file, lines } of files) writeFileSync(file, lines.join("\n"));

const program = ts.createProgram(files.map(({ file }) => file), {
  noEmit: true,
  strict: true,
  skipLibCheck: true,
  types: [],
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
});
for (const d of ts.getPreEmitDiagnostics(program)) {
  const text = ts.flattenDiagnosticMessageText(d.messageText, " ");
  const at = files.find(({ file }) => d.file?.fileName.endsWith(file));
  if (!at) throw new Error(text);
  const line = d.file.getLineAndCharacterOfPosition(d.start).line;
  problems[at.name].push(`${at.lines[line].slice(0, 60)}: ${text}`);
}

console.log(JSON.stringify(problems));
