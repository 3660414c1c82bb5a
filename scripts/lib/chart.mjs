// The custom resources among the JSON documents of standard input, held against the definitions that their projects publish (as packaged for npm).
// Copied by scripts/chart beside the packages, which is where node looks for them.
import { readFileSync } from "node:fs";
import { ScaledObject, TriggerAuthentication } from "@kubernetes-models/keda/keda.sh/v1alpha1";
import { PodMonitor, PrometheusRule, ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";
import { ExternalSecret } from "@kubernetes-models/external-secrets/external-secrets.io/v1";

const models = {
  "keda.sh/v1alpha1/ScaledObject": ScaledObject,
  "keda.sh/v1alpha1/TriggerAuthentication": TriggerAuthentication,
  "monitoring.coreos.com/v1/PodMonitor": PodMonitor,
  "monitoring.coreos.com/v1/PrometheusRule": PrometheusRule,
  "monitoring.coreos.com/v1/ServiceMonitor": ServiceMonitor,
  "external-secrets.io/v1/ExternalSecret": ExternalSecret,
};

let failed = false;
for (const document of JSON.parse(readFileSync(0, "utf8"))) {
  const kind = `${document.apiVersion}/${document.kind}`;
  const Model = models[kind];
  if (!Model) continue;
  try {
    new Model(document).validate();
  } catch (error) {
    failed = true;
    console.error(`chart: ${kind} ${document.metadata.name}: ${error.message}`);
  }
}
process.exit(failed ? 1 : 0);
