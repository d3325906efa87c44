// What does a JavaScript client see? fhir-kit-client against the base given as argument; says it as one JSON object.
import { readFileSync } from "node:fs";
import { Client } from "fhir-kit-client";

const [base, file] = process.argv.slice(2);
const client = new Client({ baseUrl: base });
const report = JSON.parse(readFileSync(file, "utf8"));
const ids = (bundle) => (bundle.entry ?? []).map((entry) => entry.resource.id);

async function refusal(asking) {
  try {
    await asking();
    return null;
  } catch (error) {
    const { status, data } = error.response;
    return { status, type: data.resourceType, code: data.issue[0].code, said: data.issue[0].diagnostics };
  }
}

const statement = await client.capabilityStatement();
const created = await client.create({ resourceType: "MeasureReport", body: report });
const read = await client.read({ resourceType: "MeasureReport", id: created.id });
const found = await client.search({
  resourceType: "MeasureReport",
  searchParams: { stage: "final", _include: "MeasureReport:reporter", _elements: "status,period" },
});
const posted = await client.search({
  resourceType: "MeasureReport",
  searchParams: { _id: created.id },
  options: { postSearch: true },
});
const pages = [];
let page = await client.search({ resourceType: "MeasureReport", searchParams: { _count: 2, _sort: "-date" } });
while (page) {
  pages.push(ids(page));
  page = await client.nextPage({ bundle: page });
}
const patched = await client.patch({
  resourceType: "MeasureReport",
  id: created.id,
  jsonPatch: [{ op: "replace", path: "/date", value: "2026-06-01" }],
});
const updated = await client.update({
  resourceType: "MeasureReport",
  id: created.id,
  body: { ...patched, date: "2026-06-02" },
});
const history = await client.history({ resourceType: "MeasureReport", id: created.id });
await client.delete({ resourceType: "MeasureReport", id: created.id });

const said = {
  fhirVersion: statement.fhirVersion,
  created: created.id,
  version: created.meta.versionId,
  read: read.id,
  found: found.entry.map((entry) => entry.search.mode),
  posted: ids(posted),
  pages,
  patched: patched.date,
  updated: updated.meta.versionId,
  history: history.entry.length,
  gone: await refusal(() => client.read({ resourceType: "MeasureReport", id: created.id })),
  unknown: await refusal(() => client.read({ resourceType: "MeasureReport", id: "nobody" })),
  wrong: await refusal(() => client.search({ resourceType: "MeasureReport", searchParams: { nonsense: "1" } })),
  invalid: await refusal(() =>
    client.create({ resourceType: "MeasureReport", body: { resourceType: "MeasureReport", status: "complete" } }),
  ),
};
console.log(JSON.stringify(said));
