// Reads one resource as JSON a line; fails with what is wrong with the first that its schema refuses.
import { createInterface } from "node:readline";
import { PrometheusRule, ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";
import { Certificate } from "@kubernetes-models/cert-manager/cert-manager.io/v1";

const kinds = { Certificate, PrometheusRule, ServiceMonitor };
let validated = 0;
for await (const line of createInterface({ input: process.stdin })) {
  const resource = JSON.parse(line);
  const Kind = kinds[resource.kind];
  const known = new Kind();
  if (known.apiVersion !== resource.apiVersion) throw new Error(`${resource.kind}: ${resource.apiVersion}`);
  new Kind(resource).validate();
  validated += 1;
}
console.log(validated);
