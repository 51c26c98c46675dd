//! Label selectors, with limits: without them the API server takes any rule over them for too dear.

/// The schema of a selector of such objects ("a namespace").
pub(super) fn schema(of: &str) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "x-kubernetes-map-type": "atomic",
        "properties": {
            "matchLabels": {
                "type": "object", "maxProperties": 16,
                "additionalProperties": {"type": "string", "maxLength": 63},
                "description": format!("Labels that {of} must have."),
            },
            "matchExpressions": {
                "type": "array", "maxItems": 16, "x-kubernetes-list-type": "atomic",
                "description": "Requirements that its labels must meet.",
                "items": {
                    "type": "object", "required": ["key", "operator"],
                    "x-kubernetes-validations": [{
                        "rule": "self.operator in ['In', 'NotIn'] ? (has(self.values) && self.values.size() > 0) : (!has(self.values) || self.values.size() == 0)",
                        "message": "values must be given for In and NotIn, and only for those",
                    }],
                    "properties": {
                        "key": {"type": "string", "maxLength": 316},
                        "operator": {"type": "string", "enum": ["In", "NotIn", "Exists", "DoesNotExist"]},
                        "values": {"type": "array", "maxItems": 64, "x-kubernetes-list-type": "atomic",
                                   "items": {"type": "string", "maxLength": 63}},
                    },
                },
            },
        },
    })
}
