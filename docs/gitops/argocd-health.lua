-- Argo CD's health of PersonalClient, ClientIssuer and ClusterClientIssuer: one script for all three kinds, by the rules of
-- kstatus, so that Argo CD and Flux say the same. docs/gitops.md tells where it goes.
local health = { status = "Progressing", message = "waiting for the operator to look at this version of the spec" }
local status = obj.status
if status == nil or status.observedGeneration ~= obj.metadata.generation then
  return health
end
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local ready = conditions.Ready
if ready == nil then
  return health
end
health.message = ready.reason .. ": " .. ready.message
local function is(kind)
  return conditions[kind] ~= nil and conditions[kind].status == "True"
end
if is("Stalled") then
  health.status = "Degraded"
elseif is("Ready") and not is("Reconciling") then
  health.status = "Healthy"
end
return health
