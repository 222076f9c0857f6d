"""URLs of inference, under /v1; chat completions and embeddings are created beside Django (`inference.gateway`)."""

from django.urls import path

from . import api, grants_api, own_deployments_api, variants_api
from . import stored_completions_api as completions
from .batches import api as batches_api
from .estimates import api as estimates_api
from .feedback import api as feedback
from .prompts import api as prompts
from .response_cache import api as response_cache_api
from .responses import api as responses_api
from .responses import conversations_api
from .safety import api as safety

urlpatterns = [
    path("models", api.ModelListView.as_view()),
    path("models/<path:model_id>", api.ModelView.as_view()),
    path("grants", grants_api.GrantsView.as_view()),
    path("grants/<str:grant_id>", grants_api.GrantView.as_view()),
    path("variants", variants_api.VariantsView.as_view()),
    path("variants/<str:variant_id>", variants_api.VariantView.as_view()),
    path("deployments", own_deployments_api.DeploymentsView.as_view()),
    path("deployments/<str:deployment_id>", own_deployments_api.DeploymentView.as_view()),
    path("response_cache", response_cache_api.ResponseCacheView.as_view()),
    path("response_cache/policies/<path:model_id>", response_cache_api.CachePolicyView.as_view()),
    path("responses/input_tokens", responses_api.InputTokensView.as_view()),
    path("responses/<str:response_id>", responses_api.ResponseView.as_view()),
    path("responses/<str:response_id>/cancel", responses_api.ResponseCancelView.as_view()),
    path("responses/<str:response_id>/input_items", responses_api.InputItemsView.as_view()),
    path("estimates", estimates_api.EstimatesView.as_view()),
    path("batches", batches_api.BatchesView.as_view()),
    path("batches/<str:job_id>", batches_api.BatchView.as_view()),
    path("batches/<str:job_id>/cancel", batches_api.BatchCancelView.as_view()),
    path("conversations", conversations_api.ConversationsView.as_view()),
    path("conversations/<str:conversation_id>", conversations_api.ConversationView.as_view()),
    path("conversations/<str:conversation_id>/items", conversations_api.ConversationItemsView.as_view()),
    path("conversations/<str:conversation_id>/items/<str:item_id>", conversations_api.ConversationItemView.as_view()),
    path("chat/completions", completions.StoredCompletionsView.as_view()),
    path("chat/completions/<str:completion_id>", completions.StoredCompletionView.as_view()),
    path("chat/completions/<str:completion_id>/messages", completions.StoredMessagesView.as_view()),
    path("embeddings", completions.HotPathView.as_view()),
    path("responses", completions.HotPathView.as_view()),
    path("prompts", prompts.PromptsView.as_view()),
    path("prompts/<str:prompt_id>", prompts.PromptView.as_view()),
    path("prompts/<str:prompt_id>/versions", prompts.PromptVersionsView.as_view()),
    path("prompts/<str:prompt_id>/versions/<str:version_id>", prompts.PromptVersionView.as_view()),
    path("prompts/<str:prompt_id>/labels", prompts.PromptLabelsView.as_view()),
    path("prompts/<str:prompt_id>/labels/<str:label_id>", prompts.PromptLabelView.as_view()),
    path("prompts/<str:prompt_id>/label_moves", prompts.PromptLabelMovesView.as_view()),
    path("prompts/<str:prompt_id>/render", prompts.PromptRenderView.as_view()),
    path("feedback", feedback.FeedbackListView.as_view()),
    path("feedback/export", feedback.FeedbackExportView.as_view()),
    path("feedback/<str:feedback_id>", feedback.FeedbackView.as_view()),
    path("safety_policy", safety.SafetyPolicyView.as_view()),
    path("safety_policy/versions", safety.SafetyPolicyVersionsView.as_view()),
    path("safety_policy/try", safety.SafetyTrialView.as_view()),
    path("safety_screenings", safety.ScreeningsView.as_view()),
]
